#!/bin/sh
# The dev overlay in a real cluster: kind makes one in Docker, our image is built and loaded, a completion goes through,
# and a router is killed under load. CI does not run this; it needs kind, docker and kubectl, some 3 GB and ten minutes.
#
#   make cluster-test            leaves nothing behind
#   KEEP=1 make cluster-test     leaves the cluster, to look around (kind delete cluster --name omniroute-test)
#
# kind's network plugin enforces network policies from 0.24 on; no metrics adapter is there, so that nothing scales.
set -eu

missing=""
for program in kind docker kubectl curl; do
    command -v "$program" > /dev/null 2>&1 || missing="$missing $program"
done
if [ -n "$missing" ]; then
    echo "cluster-test needs$missing on PATH. kind: https://kind.sigs.k8s.io, then docker, kubectl and curl." >&2
    exit 1
fi
docker info > /dev/null 2>&1 || { echo "cluster-test: docker has no engine that answers" >&2; exit 1; }

cd "$(dirname "$0")/../.."
NAME=omniroute-test
ROUTERS=3
REQUESTS=${REQUESTS:-300}
scratch=$(mktemp -d)
KUBECONFIG="$scratch/kubeconfig"
export KUBECONFIG
forward=""

k() { kubectl --namespace omniroute "$@"; }

finish() {
    code=$?
    [ -z "$forward" ] || kill "$forward" 2> /dev/null || true
    if [ "$code" -ne 0 ] && [ -s "$KUBECONFIG" ]; then
        k get pods --output wide || true
        k get events --sort-by=.lastTimestamp | tail -n 20 || true
    fi
    if [ -z "${KEEP:-}" ]; then
        kind delete cluster --name "$NAME" || true
        rm -rf "$scratch"
    else
        echo "the cluster is there: export KUBECONFIG=$KUBECONFIG"
    fi
    [ "$code" -eq 0 ] || echo "cluster-test FAILED" >&2
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

docker build --file deploy/docker/Dockerfile --tag omniroute:local .
kind create cluster --name "$NAME" --kubeconfig "$KUBECONFIG" --wait 120s
kind load docker-image omniroute:local --name "$NAME"

sh deploy/k8s/make-secrets.sh
kubectl apply --kustomize deploy/k8s/secrets
kubectl apply --kustomize deploy/k8s/overlays/dev
k scale deployment omniroute-router --replicas "$ROUTERS"
for each in statefulset/omniroute-nats statefulset/omniroute-redis deployment/omniroute-router; do
    k rollout status "$each" --timeout 300s
done
k wait --for=condition=Available deployment --all --timeout 300s

# ---- a completion ----
k port-forward service/omniroute-edge 20128:20128 > "$scratch/forward.log" 2>&1 &
forward=$!
key=$(cat deploy/k8s/secrets/api_key)
printf 'header = "Authorization: Bearer %s"\n' "$key" > "$scratch/curl" # not among the arguments, which all can see

ask() { # text to be said
    curl --silent --max-time 30 --config "$scratch/curl" --header 'Content-Type: application/json' \
        --output "$scratch/answer" --write-out '%{http_code}\n' http://127.0.0.1:20128/v1/chat/completions \
        --data "{\"model\":\"demo/sim+say:$1\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}" || echo 000
}

tries=0
until [ "$(ask hello)" = 200 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { cat "$scratch/answer" "$scratch/forward.log" >&2; exit 1; }
    sleep 1
done
grep -q hello "$scratch/answer" || { cat "$scratch/answer" >&2; exit 1; }
echo "a completion went through the cluster"

# ---- a router dies under load ----
victim=$(k get pods --selector app.kubernetes.io/component=router --output jsonpath='{.items[0].metadata.name}')
failed=0
number=0
while [ "$number" -lt "$REQUESTS" ]; do
    number=$((number + 1))
    if [ "$number" -eq $((REQUESTS / 3)) ]; then
        k delete pod "$victim" --grace-period 0 --force --wait=false
    fi
    [ "$(ask hello)" = 200 ] || failed=$((failed + 1))
done
k rollout status deployment/omniroute-router --timeout 300s

# ---- what the policies let through (0.24 of kind enforces them) ----
if k exec deployment/omniroute-translator -- python3 -c \
    'import socket; socket.create_connection(("omniroute-redis", 6379), 5)' > /dev/null 2>&1; then
    echo "note: the translator reaches Redis, so this cluster does not enforce network policies"
else
    echo "network policies are enforced: the translator does not reach Redis"
fi

echo "$REQUESTS requests, one router of $ROUTERS killed among them: $failed failed"
[ "$failed" -le 1 ] || exit 1 # the one it had in hand
echo "cluster-test passed"
