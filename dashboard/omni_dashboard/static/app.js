// The page: asks /api/* with the key of this tab, or as who has logged in, and shows what it says. Everything is set as text, never as HTML.
"use strict";

const EVERY_MS = 3000;
const SLOT = "omniroute.key";
const $ = (id) => document.getElementById(id);
const state = { key: sessionStorage.getItem(SLOT) || "", csrf: "", me: null, names: {}, timer: 0, round: 0 };

class Problem extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

// A key, or (the cookie goes along by itself) that it is this page that asks.
function proof(method = "GET") {
  if (state.key) return { Authorization: `Bearer ${state.key}` };
  return method === "GET" ? {} : { "X-OmniRoute-CSRF": state.csrf };
}

const manages = () => ["owner", "admin"].includes(state.me.role);

async function ask(path, method = "GET") {
  const answer = await fetch(path, {
    method, headers: proof(method), cache: "no-store", signal: AbortSignal.timeout(15000),
  });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told.detail || `The server answered ${answer.status}.`);
}

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function fill(id, ...nodes) { $(id).replaceChildren(...nodes); }

// Redrawn only when something changed, so that focus, selection and scroll position stay.
function draw(id, data, render) {
  const node = $(id), seen = JSON.stringify(data);
  if (node.dataset.seen === seen) return;
  node.dataset.seen = seen;
  fill(id, ...render(data));
}

const whole = new Intl.NumberFormat();
const count = (number) => whole.format(number);
// The amount is an exact decimal string; below a cent every digit is shown.
function money(usd) {
  const number = Number(usd);
  return Math.abs(number) >= 0.01 || number === 0
    ? `$${number.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 4 })}`
    : `$${usd}`;
}

function tiles(totals) {
  const share = totals.requests ? ((100 * totals.errors) / totals.requests).toFixed(1) : "0.0";
  return [
    ["Requests", count(totals.requests), `${count(totals.attempts)} attempts`],
    ["Errors", count(totals.errors), `${share} % of requests`],
    ["Input tokens", count(totals.input_tokens), `${count(totals.cached_input_tokens)} from cache`],
    ["Output tokens", count(totals.output_tokens), `${count(totals.reasoning_tokens)} reasoning`],
    ["Cost", money(totals.cost_usd), totals.unpriced_requests ? `${count(totals.unpriced_requests)} requests without a price` : ""],
  ].map(([name, value, note]) => {
    const tile = make("div"), number = make("dd", value);
    number.append(make("span", note, "small"));
    tile.append(make("dt", name), number);
    return tile;
  });
}

function table(first, groups, nameOf) {
  const sheet = make("table"), head = make("tr"), body = make("tbody"), top = make("thead");
  for (const title of [first, "Requests", "Errors", "Input", "Output", "Cost"]) {
    const cell = make("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  for (const { value, totals } of groups) {
    const row = make("tr"), name = make("th", nameOf(value));
    name.scope = "row";
    row.append(name, ...[count(totals.requests), count(totals.errors), count(totals.input_tokens),
      count(totals.output_tokens), money(totals.cost_usd)].map((text) => make("td", text)));
    body.append(row);
  }
  top.append(head);
  sheet.append(top, body);
  return sheet;
}

function item(name, mood, text, ...more) {
  const line = make("div", undefined, "item");
  line.append(make("b", name), make("span", undefined, "grow"), make("span", text, mood), ...more);
  return line;
}

// A button that does ``verb`` to an account; ``about`` is for who cannot see where it stands.
function press(word, about, what, account, verb, done) {
  const button = make("button", word);
  button.type = "button";
  button.append(make("span", ` ${about} ${account}`, "sr"));
  button.addEventListener("click", () => act(what, account, verb, `${done} ${account}`, button));
  return button;
}

function gauge(label, max, value) {
  const node = make("meter", undefined, "wide");
  Object.assign(node, { min: 0, max, low: max * 0.8, high: max * 0.95, optimum: 0, value });
  node.setAttribute("aria-label", label);
  return node;
}

const WHY = { failing: "failing", rate_limit: "rate limited", quota: "quota used up", refused: "credential refused" };

function breakers(found) {
  if (!found.length) return [make("p", "No breaker has a story to tell: every account is in use.", "muted")];
  return found.map((one) => {
    const name = one.combo ? `${one.model} in ${one.combo}` : one.model ? `${one.account_id} for ${one.model}` : one.account_id;
    if (one.state === "closed") return item(name, "good", one.failures ? `closed, ${one.failures} recent failures` : "closed");
    const why = WHY[one.cause] ? `, ${WHY[one.cause]}` : "", when = one.told ? " as it told" : "";
    const said = one.state === "open" ? `open${why}; again in ${Math.ceil(one.retry_after)} s${when}` : `half open${why}`;
    if (one.combo) return item(name, "bad", said);
    return item(name, "bad", said, press("Reset", "the breaker of", "breakers", one.account_id, "reset", "Reset"));
  });
}

async function act(what, account, verb, done, button) {
  button.disabled = true;
  try {
    await ask(`/api/quota/${what}/${account.split("/").map(encodeURIComponent).join("/")}/${verb}`, "POST");
    say(done);
    await refresh();
  } catch (problem) {
    warn(problem.message);
    button.disabled = false;
  }
}

function rates(found) {
  const some = found.filter((one) => one.requests_per_minute || one.tokens_per_minute || one.min_gap || one.concurrent || one.waiting);
  if (!some.length) return [make("p", "No provider has a rate limit that is configured or known.", "muted")];
  return some.map((one) => {
    const name = one.model ? `${one.account_id} for ${one.model}` : one.account_id || one.provider, texts = [];
    if (one.requests_per_minute) texts.push(`${count(one.requests_in_window)} of ${count(one.requests_per_minute)} requests this minute`);
    if (one.tokens_per_minute) texts.push(`${count(one.tokens_in_window)} of ${count(one.tokens_per_minute)} tokens this minute`);
    if (one.concurrent) texts.push(`${count(one.under_way)} of ${count(one.concurrent)} under way`);
    if (one.min_gap) texts.push(`one every ${one.min_gap} s`);
    if (one.waiting) texts.push(`${count(one.waiting)} waiting`);
    if (!one.learned) return item(name, one.waiting ? "bad" : "muted", texts.join(", "));
    texts.push(one.learned === "told" ? "as the provider told" : "as its refusals taught");
    const button = press("Forget", "what was learned of", "rates", one.account_id, "forget", "Forgot the rate limits of");
    return item(name, one.waiting ? "bad" : "muted", texts.join(", "), button);
  });
}

function lasts(until) {
  const minutes = Math.max(0, Math.ceil(until / 60 - Date.now() / 60000)), hours = Math.floor(minutes / 60);
  return minutes < 60 ? `${minutes} min` : minutes < 2880 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

const MOODS = { ok: "good", low: "warn", used_up: "bad" };

function accounts(found) {
  if (!found.length) return [make("p", "No account has a quota that is looked after.", "muted")];
  return found.map((one) => {
    const asks = one.asks ? [press("Ask", "the provider of", "accounts", one.account, "refresh", "Asked about")] : [];
    const line = item(`${one.account} ${one.plan}`, MOODS[one.state] || "muted", one.state.replace("_", " "), ...asks);
    for (const { name, of, used, total, unlimited, remaining_percent: left, resets_at: ends, forecast_exhausted_at: gone, source, stale } of one.windows) {
      const some = of === "usd" ? money : (value) => `${count(value)} ${of === "percent" ? "%" : of}`;
      const texts = [`${name}: ${some(used)}${unlimited ? " of any" : total ? ` of ${some(total)}` : ""}`, stale ? `${source}, stale` : source];
      if (ends) texts.push(`anew in ${lasts(ends)}`);
      if (gone) texts.push(`used up in ${lasts(gone)}`);
      if (left !== null) line.append(gauge(`${name} of ${one.account}`, 100, 100 - left));
      line.append(make("span", texts.join(", "), "muted wide"));
    }
    if (one.reason) line.append(make("span", `No answer: ${one.reason}`, "warn wide"));
    return line;
  });
}

const MEASURES = { usd: "", input: "tokens of input", output: "tokens of output" };
const SPANS = { minute: "in a minute", "5h": "in 5 hours", total: "in total" };

function budgets(keys, limits) {
  const limited = [...limits, ...keys.filter((one) => one.budget || one.requests_per_minute)];
  if (!limited.length) return [make("p", "No key has a limit or a budget.", "muted")];
  return limited.map((one) => {
    const texts = [], name = one.limit_id ? `limit ${one.name}` : state.names[one.key_id] || one.key_id;
    if (one.requests_per_minute) texts.push(`${count(one.requests_in_window)} of ${count(one.requests_per_minute)} requests this minute`);
    for (const { of, most, window, used, held, mode } of one.allowances || []) {
      const some = of === "usd" ? (nano) => money(nano / 1e9) : count, soft = mode === "hard" ? "" : ` (${mode})`;
      if (of === "concurrent") texts.push(`${count(held)} of ${count(most)} under way${soft}`);
      else texts.push(`${some(used)} of ${some(most)} ${MEASURES[of] ?? of} ${SPANS[window] || `a ${window}`}${soft}${held ? `, ${some(held)} held` : ""}`);
    }
    const line = item(name, "muted", texts.join("; "));
    if (one.budget) {
      const { usd, spent_usd, held_usd, window, nano_usd, spent_nano_usd, held_nano_usd } = one.budget;
      const held = held_nano_usd ? `, ${money(held_usd)} held by requests in flight` : "";
      const span = window === "total" ? "in total" : `a ${window}`;
      line.append(gauge(`Budget of ${name}`, nano_usd, spent_nano_usd + held_nano_usd), make("span", `${money(spent_usd)} of ${money(usd)} ${span}${held}`, "muted wide"));
    }
    return line;
  });
}

// Limits that have come to a percentage of late, beside where they stand.
function reached(events) {
  return events.map(({ name, percent, used, most, of, window, at_ms }) => {
    const some = of === "usd" ? (nano) => money(nano / 1e9) : count;
    const text = `${some(used)} of ${some(most)} ${MEASURES[of] ?? of} ${SPANS[window] || `a ${window}`}, ${age(at_ms)} ago`;
    return item(`limit ${name} came to ${percent} %`, percent >= 100 ? "bad" : "muted", text);
  });
}

function age(started) {
  const minutes = Math.max(0, Math.floor((Date.now() - started) / 60000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
}

// What a process works with, and what it would not take.
function inForce(one) {
  const cell = make("td");
  if (one.revision === null) return cell;
  cell.append(make("span", one.revision ? `revision ${one.revision}` : "none yet", one.in_step ? "good" : "bad"));
  if (one.refused_reason) cell.append(make("span", `refused${one.refused_revision ? ` ${one.refused_revision}` : ""}: ${one.refused_reason}`, "bad under"));
  return cell;
}

function fleet(processes) {
  const sheet = make("table", undefined, "list"), head = make("tr"), body = make("tbody"), top = make("thead");
  for (const title of ["Process", "Address", "Version", "Up", "Configuration"]) {
    const cell = make("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  for (const one of processes) {
    const row = make("tr"), name = make("th", one.service), up = make("td", age(one.started_ms));
    name.scope = "row";
    name.append(make("span", one.instance, "under"));
    if (one.draining) up.append(make("span", "draining", "warn under"));
    row.append(name, make("td", one.address), make("td", one.version), up, inForce(one));
    body.append(row);
  }
  top.append(head);
  sheet.append(top, body);
  return [sheet];
}

function system(found) {
  const lines = [item("Configuration", found.config.rejected ? "bad" : "good", `revision ${found.config.revision}`)];
  if (found.processes.length) lines.push(item("Processes", found.in_step ? "good" : "bad", found.in_step ? "all in step" : "not all in step"));
  if (!found.live) lines.push(item("List of processes", "warn", "as last heard: NATS is away"));
  if (found.config.rejected) lines[0].append(make("span", `A newer file was refused: ${found.config.rejected}`, "bad wide"));
  for (const [component, checks] of Object.entries(found.checks)) {
    for (const [name, check] of Object.entries(checks)) {
      lines.push(item(`${component} · ${name}`, check.ok ? "good" : "bad", check.ok ? "well" : check.detail || "not well"));
    }
  }
  return lines;
}

function period() {
  const hours = Number(document.querySelector("input[name=span]:checked").value);
  return hours ? `&from=${Date.now() - hours * 3600000}` : "";
}

async function refresh() {
  const round = ++state.round, span = period(), admin = manages();
  const [byModel, byKey, quota, keys, about, events] = await Promise.all([
    ask(`/api/usage?group_by=model${span}`),
    ask(`/api/usage?group_by=key${span}`),
    admin ? ask("/api/quota") : null,
    admin ? ask("/api/keys") : null,
    admin ? ask("/api/system") : null,
    admin ? ask("/api/limit-events?limit=5") : null,
  ]);
  if (round !== state.round) return; // a newer one is under way
  state.names = Object.fromEntries(keys ? keys.keys.map((one) => [one.id, one.name]) : state.key ? [[state.me.key_id, state.me.name]] : []);
  draw("tiles", byModel.totals, tiles);
  const none = byModel.totals.requests === 0 && byModel.totals.attempts === 0;
  $("empty").hidden = !none;
  $("models-card").hidden = $("keys-card").hidden = none;
  draw("models", byModel.groups, (groups) => [table("Model", groups, (value) => value || "(none)")]);
  draw("keys", [byKey.groups, state.names], ([groups, names]) => [table("Key", groups, (value) => names[value] || value || "(none)")]);
  $("admin").hidden = $("fleet-card").hidden = !admin;
  if (admin) {
    draw("breakers", quota.breakers, breakers);
    const minute = Math.floor(Date.now() / 60000);
    for (const one of quota.accounts || []) for (const each of one.windows) each.resets_in = each.as_of = 0;
    draw("accounts", [quota.accounts || [], minute], ([found]) => accounts(found));
    draw("rates", quota.rate_limits || [], rates);
    draw("budgets", [quota.keys, quota.limits || [], state.names], ([found, shared]) => budgets(found, shared));
    draw("reached", events.items, reached);
    draw("system", about, system);
    draw("fleet", [about.processes, Math.floor(Date.now() / 60000)], ([found]) => fleet(found));
  }
}

async function tick() {
  clearTimeout(state.timer);
  if (!state.me) return;
  if (!document.hidden) {
    try {
      await refresh();
      live("live");
      warn("");
    } catch (problem) {
      if (problem.status === 401) return leave(state.key ? "This key is not known any more." : "Your session has ended. Log in again.");
      live("waiting", true);
      warn(problem.status ? problem.message : "The server does not answer; trying again.");
    }
  }
  if (state.me) state.timer = setTimeout(tick, EVERY_MS);
}

async function enter() {
  try {
    state.me = await ask("/api/me");
  } catch (problem) {
    return problem.status === 401
      ? leave("This key is not known. Check that all of it was pasted.")
      : (warn(problem.status ? problem.message : "The server does not answer; try again."), undefined);
  }
  if (state.key) sessionStorage.setItem(SLOT, state.key);
  $("who").textContent = `${state.me.name} (${state.me.role})`;
  $("enter").hidden = $("login-link").hidden = true;
  $("leave").textContent = state.key ? "Forget key" : "Log out";
  $("own").hidden = Boolean(state.key);
  $("people-link").hidden = !manages();
  $("leave").hidden = $("inside").hidden = false;
  warn("");
  if (state.key) nameModel();
  document.dispatchEvent(new Event("omniroute:entered"));
  await tick();
}

function leave(why = "") {
  clearTimeout(state.timer);
  sessionStorage.removeItem(SLOT);
  Object.assign(state, { key: "", csrf: "", me: null });
  state.round += 1;
  document.dispatchEvent(new Event("omniroute:left"));
  $("who").textContent = "";
  $("enter").hidden = $("login-link").hidden = false;
  $("own").hidden = true;
  $("leave").hidden = $("inside").hidden = $("pulse").hidden = true;
  for (const id of ["tiles", "models", "keys", "breakers", "accounts", "rates", "budgets", "reached", "system", "fleet"]) { fill(id); delete $(id).dataset.seen; }
  warn(why);
  $("key").focus();
}

function live(text, late = false) {
  $("pulse").hidden = false;
  $("pulse").classList.toggle("late", late);
  if ($("pulse").textContent !== text) $("pulse").textContent = text;
}
function warn(text) {
  if ($("notice").textContent !== text) $("notice").textContent = text;
  $("notice").hidden = !text;
}
function say(text) { $("said").textContent = text; }

function example(model) {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Say hello." }] });
  const quoted = body.replaceAll("'", "'\\''");
  $("curl").textContent = [
    `curl -N ${$("endpoint").textContent}/chat/completions \\`,
    '  -H "Authorization: Bearer $OMNIROUTE_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${quoted}'`,
  ].join("\n");
}

// A model this key may use, when models are served here; the placeholder stays otherwise.
async function nameModel() {
  try {
    const found = await ask("/v1/models");
    const usable = found.data.map((one) => one.id).find((id) => !id.endsWith("*"));
    if (usable) example(usable);
  } catch { /* the example works with any model's name */ }
}

async function start() {
  const port = location.port === "20130" ? ":20128" : location.port && `:${location.port}`;
  $("endpoint").textContent = `${location.protocol}//${location.hostname}${port}/v1`;
  example("MODEL");
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText($(button.dataset.copy).textContent);
        say("Copied");
        const label = button.firstChild;
        label.data = "Copied";
        setTimeout(() => { label.data = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren($(button.dataset.copy)); // no clipboard without https: ready for Ctrl-C
      }
    });
  }
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    $("key").value = "";
    if (/[^\x21-\x7e]/.test(state.key)) leave("This is not an API key: it has characters that no key has.");
    else if (state.key) enter();
  });
  $("leave").addEventListener("click", async () => {
    if (!state.key) await ask("/api/session", "DELETE").catch(() => {});
    leave();
  });
  for (const choice of document.querySelectorAll("input[name=span]")) choice.addEventListener("change", tick);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  try {
    const about = await (await fetch("/api/about")).json();
    $("version").textContent = about.version;
    if (about.endpoint) { $("endpoint").textContent = about.endpoint.replace(/\/+$/, ""); example("MODEL"); }
  } catch { /* the page works without it */ }
  if (!state.key) {
    const found = await ask("/api/session").catch(() => null);
    state.csrf = found?.csrf || "";
    if (found?.must_enrol) return location.replace("/account");
    if (!found?.person && found?.needs_setup) $("login-link").textContent = "Set up";
  }
  if (state.key || state.csrf) await enter();
}

start();
