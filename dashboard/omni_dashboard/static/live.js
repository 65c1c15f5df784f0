// Requests as they are stored, from /api/live, and one of them in detail. After app.js, whose helpers it uses. What
// models and clients said is set as text, never as HTML.
"use strict";

const SHOWN = 100, SILENT_MS = 30000, LONGEST_WAIT_MS = 15000;
const view = { on: null, last: "", rows: new Map(), paused: false };

const seconds = (ms) => (ms === null ? "–" : ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);
const mood = (one) => (one.outcome === "ok" || one.outcome === "cached" || one.outcome === "replayed" ? "good" : one.outcome === "cancelled" ? "warn" : "bad");

// ---- the stream ------------------------------------------------------------------------------------------------------

function watch() {
  unwatch();
  const on = (view.on = new AbortController());
  $("live-empty").hidden = false;
  follow(on.signal);
}

function unwatch() {
  if (view.on) view.on.abort();
  Object.assign(view, { on: null, last: "", paused: false });
  view.rows.clear();
  fill("live-rows");
  tell("");
  $("live-missed").hidden = true;
  $("live-pause").textContent = "Pause";
  if ($("detail").open) $("detail").close();
}

async function follow(signal) {
  let wait = 1000;
  while (!signal.aborted) {
    try {
      await listen(signal, () => { wait = 1000; });
    } catch (problem) {
      if (signal.aborted || problem.status === 401) return; // of a key that is none, app.js says so
    }
    if (signal.aborted) return;
    tell("interrupted; connecting again", "warn");
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

// EventSource can send no key, so events are read by hand (html.spec.whatwg.org, "Server-sent events").
async function listen(signal, heard) {
  const breaking = new AbortController(), stop = () => breaking.abort();
  let silence = setTimeout(stop, SILENT_MS);
  signal.addEventListener("abort", stop);
  try {
    const headers = { ...proof("GET"), Accept: "text/event-stream" };
    if (view.last) headers["Last-Event-ID"] = view.last;
    const answer = await fetch("/api/live", { headers, cache: "no-store", signal: breaking.signal });
    if (!answer.ok) throw new Problem(answer.status, "no stream");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(stop, SILENT_MS);
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) take(event, heard);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
  }
}

function take(event, heard) {
  const fields = Object.fromEntries(event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  if (fields.id) view.last = fields.id;
  if (!fields.data) return;
  const told = JSON.parse(fields.data);
  if (fields.event === "end") return;
  heard();
  if (fields.event === "ready") {
    tell(view.paused ? "paused" : "live", view.paused ? "warn" : "good");
    missed(told.missed);
    recent();
  }
  for (const one of told.requests) view.rows.set(one.id, one);
  show();
}

function missed(some) {
  $("live-missed").hidden = !some;
  $("live-missed").textContent = some ? `${count(some)} requests went by while nobody listened. The last of them are here again; all are in the log.` : "";
}

// What there was before, and while the stream was interrupted.
async function recent() {
  try {
    const found = await ask(`/api/logs?kind=request&limit=${SHOWN}`);
    for (const one of found.items) if (!view.rows.has(one.id)) view.rows.set(one.id, one);
    show();
  } catch { /* what comes from now on is shown all the same */ }
}

function tell(text, className = "muted") {
  $("live-state").className = className;
  if ($("live-state").textContent !== text) $("live-state").textContent = text;
}

// ---- the table -------------------------------------------------------------------------------------------------------

function show() {
  const newest = [...view.rows.values()].sort((one, other) => other.started_ms - one.started_ms || (other.id > one.id ? 1 : -1)).slice(0, SHOWN);
  view.rows = new Map(newest.map((one) => [one.id, one]));
  if (view.paused) return;
  $("live-empty").hidden = newest.length > 0;
  const there = new Map([...$("live-rows").children].map((row) => [row.dataset.id, row]));
  const rows = newest.map((one) => {
    const seen = JSON.stringify(one), row = there.get(one.id);
    return row && row.dataset.seen === seen ? row : line(one, seen);
  });
  for (const [id, row] of there) if (!rows.includes(row)) { row.remove(); there.delete(id); }
  rows.forEach((row, place) => { // moved only where it stands elsewhere, so that focus stays
    const here = $("live-rows").children[place];
    if (here !== row) $("live-rows").insertBefore(row, here || null);
  });
}

function line(one, seen) {
  const row = make("tr"), name = make("th"), open = make("button", one.model || "(none)", "link");
  Object.assign(row.dataset, { id: one.id, seen });
  name.scope = "row";
  open.type = "button";
  open.append(make("span", `, details of the request at ${at(one.started_ms)}`, "sr"));
  open.addEventListener("click", () => detail(one.id));
  name.append(open, make("span", one.account ? `${one.account}${one.combo ? ` by ${one.combo}` : ""}` : state.names[one.key] || one.key, "under"));
  const became = make("td", `${one.status} ${one.outcome}`, mood(one));
  if (one.error) became.append(make("span", one.error.replaceAll("_", " "), "under"));
  row.append(make("td", at(one.started_ms)), name, became, make("td", seconds(one.duration_ms)),
    make("td", seconds(one.first_byte_ms), "roomy"),
    make("td", `${count(one.usage.input_tokens)} → ${count(one.usage.output_tokens)}`, "roomy"), make("td", money(one.cost_usd), "roomy"));
  return row;
}

const at = (ms) => new Date(ms).toLocaleTimeString([], { hourCycle: "h23" });

// ---- one request -----------------------------------------------------------------------------------------------------

async function detail(id) {
  fill("detail-body", make("p", "Asking …", "muted"));
  $("detail-title").textContent = "Request";
  if (!$("detail").open) $("detail").showModal();
  try {
    const one = await ask(`/api/requests/${encodeURIComponent(id)}`);
    $("detail-title").textContent = one.model || "Request";
    fill("detail-body", ...facts(one), ...times(one), ...attempts(one), ...why(one), ...said(one));
  } catch (problem) {
    fill("detail-body", make("p", problem.status ? problem.message : "The server does not answer; try again.", "bad"));
  }
}

function facts(one) {
  const list = make("dl", undefined, "facts"), served = one.model_served && `${one.provider}/${one.model_served}`;
  const told = [
    ["Outcome", `${one.status} ${one.outcome}${one.error ? `, ${one.error.replaceAll("_", " ")}` : ""}`],
    ["Began", new Date(one.started_ms).toLocaleString()], ["Took", `${seconds(one.duration_ms)}, first byte after ${seconds(one.first_byte_ms)}`],
    ["Served by", served && `${served}, account ${one.account}`], ["Combo", one.combo], ["Key", state.names[one.key] || one.key],
    ["Asked in", `${one.format}${one.stream ? ", streamed" : ""}`],
    ["Tokens", `${count(one.usage.input_tokens)} in (${count(one.usage.cached_input_tokens)} from cache), ${count(one.usage.output_tokens)} out (${count(one.usage.reasoning_tokens)} reasoning)${one.usage.estimated ? ", estimated" : ""}`],
    ["Cost", `${money(one.cost_usd)}${one.pricing === "priced" ? "" : ` (${one.pricing})`}`],
    ["Lost in translation", one.losses.join(", ")], ["Tags", one.tags.join(", ")],
    ["Id", one.request_id === one.id ? one.id : `${one.id}, told as ${one.request_id}`], ["Router", `${one.router}, revision ${one.config_revision}`],
  ];
  for (const [name, value] of told) if (value) list.append(make("dt", name), make("dd", value));
  return [list];
}

const SVG = "http://www.w3.org/2000/svg";
// What lay between two moments of a request, as a share of all of it.
function bar(from, until, all, className) {
  const picture = document.createElementNS(SVG, "svg"), part = document.createElementNS(SVG, "rect"), whole = Math.max(all, 1);
  const start = Math.min(99.4, Math.max(0, (100 * from) / whole)), end = Math.min(100, (100 * until) / whole);
  for (const [name, value] of Object.entries({ viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true", class: "span" })) picture.setAttribute(name, value);
  for (const [name, value] of Object.entries({ x: start, width: Math.max(0.6, end - start), height: 6, class: className })) part.setAttribute(name, value);
  picture.append(part);
  return picture;
}

function times(one) {
  const list = make("ol", undefined, "spans"), all = one.duration_ms;
  const add = (name, from, until, className) => {
    const entry = make("li");
    entry.append(make("span", name), make("span", seconds(Math.max(0, until - from)), "muted"), bar(from, until, all, className));
    list.append(entry);
  };
  const first = one.attempts.length ? one.attempts[0].started_ms - one.started_ms : all;
  add("before a provider was asked", 0, first, "own");
  one.attempts.forEach((each, place) => {
    const began = each.started_ms - one.started_ms, came = each.first_byte_ms === null ? each.duration_ms : each.first_byte_ms;
    const which = one.attempts.length > 1 ? `${place + 1}. ${each.account}` : each.account;
    add(`${which}: waiting for its ${each.first_byte_ms === null ? "end" : "first byte"}`, began, began + came, each.outcome === "ok" ? "wait" : "lost");
    if (each.first_byte_ms !== null && each.duration_ms > came) add(`${which}: answering`, began + came, began + each.duration_ms, each.outcome === "ok" ? "told" : "lost");
  });
  if (one.overhead_us) list.append(make("li", `Of our own before the provider that answered: ${(one.overhead_us / 1000).toFixed(2)} ms`, "muted"));
  return [make("h3", "Where its time went"), list];
}

function attempts(one) {
  if (!one.attempts.length) return [];
  return [make("h3", one.attempts.length > 1 ? "Attempts" : "Attempt"), ...one.attempts.map((each) => {
    const text = [each.outcome, each.provider_status && `status ${each.provider_status}`, each.error && each.error.replaceAll("_", " "),
      `${count(each.usage.input_tokens)} → ${count(each.usage.output_tokens)} tokens`, money(each.cost_usd)].filter(Boolean).join(", ");
    const entry = item(`${each.account} · ${each.model}`, each.outcome === "ok" ? "good" : "bad", text);
    if (each.format !== one.format) entry.append(make("span", `translated from ${one.format} to ${each.format}`, "muted wide"));
    return entry;
  })];
}

function why(one) {
  const found = one.decision;
  if (!found) return [make("h3", "Why there"), make("p", "There was one candidate, and it answered.", "muted")];
  const orders = (found.orders || []).map((each) => item(each.strategy, "muted", `${each.scope}: ${(each.options || []).map((option) => option.name).join(", ")}`));
  const steps = (found.steps || []).map((each) => {
    const text = [each.outcome.replaceAll("_", " "), (each.cause || each.kind || "").replaceAll("_", " "), each.wait && `again in ${Math.ceil(each.wait)} s`].filter(Boolean).join(", ");
    return item(`${each.account || each.provider} · ${each.model || ""}`, each.outcome === "answered" ? "good" : "warn", text);
  });
  const all = make("details"), document_ = make("pre", JSON.stringify(found, null, 2), "said");
  document_.tabIndex = 0;
  all.append(make("summary", "All that was seen"), document_);
  return [make("h3", "Why there"), ...orders, ...steps, all];
}

const STAGES = {
  client_request: () => "What the client asked", provider_request: (one) => `What ${one.provider} was sent`,
  provider_response: (one) => `What ${one.provider} answered`, client_response: () => "What the client was answered",
};

function said(one) {
  if (!manages()) return [];
  const place = make("div"), button = make("button", "Show what was said");
  button.type = "button";
  button.addEventListener("click", () => read(one.id, place));
  place.append(make("p", "What is kept of it, if the configuration keeps any. That you look is written into the audit log.", "muted"), button);
  return [make("h3", "What was said"), place];
}

async function read(id, place) {
  const path = `/api/requests/${encodeURIComponent(id)}/bodies`;
  try {
    const found = await ask(path), remove = make("button", "Remove for good", "bad");
    remove.type = "button";
    remove.addEventListener("click", async () => {
      try {
        await ask(path, "DELETE");
        place.replaceChildren(make("p", "It is gone.", "muted"));
      } catch (problem) { place.append(make("p", problem.message, "bad")); }
    });
    place.replaceChildren(...found.items.map(body), make("p", `Kept until ${new Date(found.items[0].until_ms).toLocaleString()}.`, "muted"), remove);
    place.querySelector("summary").focus();
  } catch (problem) {
    place.replaceChildren(make("p", problem.status ? problem.message : "The server does not answer; try again.", problem.status === 404 ? "muted" : "bad"));
  }
}

function body(one) {
  const node = make("details"), notes = [`${count(one.bytes)} bytes`, one.format, one.redacted && "masked", one.attempt > 1 && `attempt ${one.attempt}`];
  const text = make("pre", pretty(one.text), "said");
  text.tabIndex = 0;
  node.open = one.attempt === 0;
  node.append(make("summary", `${(STAGES[one.stage] || (() => one.stage))(one)} (${notes.filter(Boolean).join(", ")})`), text);
  if (one.cut) node.append(make("p", "… cut here: more went by than is kept.", "warn"));
  return node;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

$("live-pause").addEventListener("click", () => {
  view.paused = !view.paused;
  $("live-pause").textContent = view.paused ? "Go on" : "Pause";
  tell(view.paused ? "paused" : "live", view.paused ? "warn" : "good");
  show();
});
$("detail-close").addEventListener("click", () => $("detail").close());
document.addEventListener("omniroute:entered", watch);
document.addEventListener("omniroute:left", unwatch);
if (state.me) watch();
