#!/bin/sh
# checkov over every overlay. It has its own environment, .venv-checkov, as its hundred dependencies are not ours.
#
# What is left out, and why:
#   CKV_K8S_15  imagePullPolicy Always: our tags do not move (a rule of ours), and a node that has the image starts
#               without its registry.
#   CKV_K8S_43  images by digest: a digest is known to whoever pushes the image. Put yours into the overlay
#               (`images: [{name: omniroute, newName: …, digest: sha256:…}]`).
set -eu
cd "$(dirname "$0")/../.."

VENV=.venv-checkov
WANTED=3.3.30

if [ "$("$VENV/bin/python" -c 'import importlib.metadata as m; print(m.version("checkov"))' 2>/dev/null)" != "$WANTED" ]; then
    "${PY:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "checkov==$WANTED"
fi

KUBECTL=$(command -v kubectl || echo .venv/bin/kubectl) # the wheel's, where PATH has none
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for overlay in deploy/k8s/overlays/*/; do
    "$KUBECTL" kustomize "$overlay" > "$scratch/$(basename "$overlay").yaml"
done
"$VENV/bin/checkov" --directory "$scratch" --framework kubernetes --compact --quiet --skip-download \
    --skip-check CKV_K8S_15,CKV_K8S_43
echo "checkov finds nothing"
