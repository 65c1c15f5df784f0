// Log-in, one's own account, and the people of an organisation. Everything is set as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { csrf: "", person: null };

class Problem extends Error {
  constructor(status, code, message) { super(message); this.status = status; this.code = code; }
}

async function ask(path, method = "GET", body = undefined) {
  const headers = { ...(method === "GET" ? {} : { "X-OmniRoute-CSRF": state.csrf }), ...(body ? { "Content-Type": "application/json" } : {}) };
  const sent = { method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(20000) };
  const answer = await fetch(path, sent).catch(() => { throw new Problem(0, "", "The server does not answer; try again."); });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({}));
  const wait = answer.headers.get("Retry-After"), again = wait ? ` Try again in ${wait} s.` : "";
  throw new Problem(answer.status, told.code || "", (told.detail || `The server answered ${answer.status}.`) + again);
}

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function warn(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
const say = (text) => { $("said").textContent = text; };

// Whatever somebody does: its button rests meanwhile, and what goes wrong is said.
async function act(button, work) {
  warn("");
  button.disabled = true;
  try {
    await work();
  } catch (problem) {
    if (problem.code === "session_ended") return location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    warn(problem.message);
  } finally {
    button.disabled = false;
  }
}

function onSubmit(id, work) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act($(id).querySelector("button[type=submit]"), work);
  });
}

function press(text, about, work) {
  const button = make("button", text);
  button.type = "button";
  button.append(make("span", ` ${about}`, "sr"));
  button.addEventListener("click", () => act(button, work));
  return button;
}

const when = (ms) => (ms ? new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "never");

// ---- log in, or use a link ----------------------------------------------------------------------------------------

const LINKS = {
  setup: ["Set up this gateway", "You will own it: choose a name and a password."],
  invite: ["Welcome", "Choose a password for NAME at ORGANISATION."],
  reset: ["Another password", "Choose another password for NAME at ORGANISATION."],
};

async function login(found) {
  const [kind, token] = location.hash.slice(1).split("=");
  if (LINKS[kind] && token) {
    history.replaceState(null, "", "/login"); // a link is a secret: it stays in no address bar
    return link(kind, token);
  }
  if (found.person) return location.replace(found.must_enrol ? "/account" : "/");
  $("setup-hint").hidden = !found.needs_setup;
  $("login-form").hidden = false;
  for (const { id, title } of found.providers) {
    const go = make("a", `Log in with ${title}`);
    go.href = `/api/session/oidc/${encodeURIComponent(id)}?next=${encodeURIComponent(next())}`;
    $("providers").append(go);
  }
  const failed = new URLSearchParams(location.search).get("problem");
  if (failed) warn(failed.slice(0, 400));
  $("name").focus();
  onSubmit("login-form", async () => {
    const organisation = $("organisation").value.trim() || "default";
    const given = { name: $("name").value, password: $("password").value, organisation, code: $("code").value, next: next() };
    try {
      location.replace((await ask("/api/session", "POST", given)).next);
    } catch (problem) {
      needCode(problem);
    }
  });
}

const next = () => new URLSearchParams(location.search).get("next") || "/";

function needCode(problem) {
  if (problem.code !== "totp_needed") throw problem;
  const asked = !$("code-row").hidden;
  $("code-row").hidden = false;
  $("code").focus();
  if (asked) throw problem;
  say("A code of your authenticator is needed");
}

async function link(kind, token) {
  const [title, why] = LINKS[kind];
  $("login-title").textContent = title;
  $("where").remove();
  let found;
  try {
    found = await ask("/api/session/look", "POST", { token });
  } catch (problem) {
    return warn(problem.message);
  }
  $("login-why").textContent = why.replace("NAME", found.name).replace("ORGANISATION", found.organisation);
  $("login-why").hidden = $("password-hint").hidden = $("again-row").hidden = $("login-form").hidden = false;
  $("again").required = true;
  $("password").autocomplete = "new-password";
  $("name").value = found.name;
  $("name-row").hidden = found.kind !== "setup";
  $("name").required = found.kind === "setup";
  $("go").textContent = "Go on";
  (found.kind === "setup" ? $("name") : $("password")).focus();
  onSubmit("login-form", async () => {
    if ($("password").value !== $("again").value) throw new Problem(0, "", "The two passwords are not the same.");
    const given = { token, name: $("name").value, password: $("password").value, code: $("code").value };
    try {
      location.replace((await ask("/api/session/redeem", "POST", given)).next);
    } catch (problem) {
      needCode(problem);
    }
  });
}

// ---- one's own account --------------------------------------------------------------------------------------------

async function account(found) {
  if (found.must_enrol) warn("Your organisation asks for a second factor: set one up to go on.");
  showSelf();
  $("leave").addEventListener("click", () => act($("leave"), async () => {
    await ask("/api/session", "DELETE");
    location.replace("/login");
  }));
  onSubmit("password-form", async () => {
    took(await ask("/api/account/password", "POST", { old: $("old").value, new: $("new").value }));
    $("password-form").reset();
    say("The password is changed");
    await sessions();
  });
  $("totp-begin").addEventListener("click", () => act($("totp-begin"), async () => {
    const offered = await ask("/api/account/totp", "POST");
    $("totp-secret").textContent = offered.secret.replace(/(.{4})/g, "$1 ").trim();
    $("totp-uri").href = offered.uri;
    $("totp-begin").hidden = true;
    $("totp-form").hidden = false;
    $("totp-code").focus();
  }));
  onSubmit("totp-form", async () => {
    const done = await ask("/api/account/totp/confirm", "POST", { code: $("totp-code").value });
    state.csrf = done.csrf;
    state.person.has_totp = true;
    $("codes").replaceChildren(...done.codes.map((code) => make("li", code)));
    $("recovery").hidden = false;
    showSelf();
    await sessions();
  });
  onSubmit("totp-remove", async () => {
    await ask("/api/account/totp/remove", "POST", { password: $("totp-password").value });
    $("totp-remove").reset();
    $("recovery").hidden = true;
    state.person.has_totp = false;
    showSelf();
    await sessions();
  });
  $("end-others").addEventListener("click", () => act($("end-others"), async () => {
    await ask("/api/account/sessions/end", "POST", { only: "" });
    await sessions();
  }));
  await act($("end-others"), sessions);
}

function took(found) {
  state.csrf = found.csrf;
  state.person = found.person;
}

function showSelf() {
  const { name, role, organisation, has_totp: has, has_password: own } = state.person;
  $("self").textContent = `${name}, ${role} of ${organisation}`;
  $("totp-state").textContent = has ? "In force: logging in takes a code as well." : "None: the password alone logs you in.";
  $("totp-begin").hidden = has;
  $("totp-form").hidden = true;
  $("totp-remove").hidden = !has;
  $("password-form").closest("section").hidden = !own;
}

async function sessions() {
  const { sessions: found } = await ask("/api/account/sessions");
  $("sessions").replaceChildren(...found.map((one) => {
    const line = make("div", undefined, "item"), told = `since ${when(one.created)}, last used ${when(one.seen)}, until ${when(one.expires)} at the latest`;
    line.append(make("b", one.address || "unknown address"), make("span", one.current ? "this one" : "", "good"), make("span", undefined, "grow"));
    if (!one.current) line.append(press("Log out", `the session of ${one.address}`, async () => {
      await ask("/api/account/sessions/end", "POST", { only: one.id });
      await sessions();
    }));
    line.append(make("span", told, "muted wide"), make("span", one.agent, "muted wide"));
    return line;
  }));
}

// ---- people of the organisation -----------------------------------------------------------------------------------

const ROLES = {
  owner: "everything, the people included",
  admin: "everything but who may come and go",
  billing: "usage and reports of all, and limits",
  developer: "what their own keys used",
  viewer: "what all used; changes nothing",
  service: "no log-in: a name for machines' keys",
};

async function people() {
  const owns = state.person.role === "owner";
  $("invite-card").hidden = !owns;
  $("invite-role").replaceChildren(...Object.keys(ROLES).map((role) => option(role, role === "developer")));
  const hint = () => { $("role-hint").textContent = ROLES[$("invite-role").value]; };
  $("invite-role").addEventListener("change", hint);
  hint();
  onSubmit("invite-form", async () => {
    const made = await ask("/api/people", "POST", { name: $("invite-name").value, role: $("invite-role").value });
    offer(made, `Give this to ${made.person.name}: it is good once, within a week, and shown this once.`);
    $("invite-form").reset();
    hint();
    await listed(owns);
  });
  $("copy").addEventListener("click", () => act($("copy"), async () => {
    await navigator.clipboard.writeText($("link").textContent).catch(() => getSelection().selectAllChildren($("link")));
    say("Copied");
  }));
  await act($("copy"), () => listed(owns));
}

function option(role, chosen) {
  const node = make("option", role);
  node.defaultSelected = chosen;
  return node;
}

function offer(made, why) {
  $("link-card").hidden = !made.link;
  if (!made.link) return;
  $("link-why").textContent = why;
  $("link").textContent = location.origin + made.link;
  $("link-card").scrollIntoView({ block: "nearest" });
}

async function listed(owns) {
  const { people: found } = await ask("/api/people");
  $("people").replaceChildren(...found.map((one) => {
    const line = make("div", undefined, "item"), mood = { active: "good", invited: "warn", disabled: "bad" }[one.status];
    const told = `last logged in: ${when(one.last_login)}${one.has_totp ? "; with a second factor" : ""}`;
    line.append(make("b", one.name), make("span", one.status, mood), make("span", undefined, "grow"));
    line.append(...(owns ? controls(one, () => listed(owns)) : [make("span", one.role)]), make("span", told, "muted wide"));
    return line;
  }));
}

function controls(one, again) {
  const at = `/api/people/${encodeURIComponent(one.id)}`, role = make("select"), box = make("span", undefined, "choose");
  role.setAttribute("aria-label", `Role of ${one.name}`);
  role.append(...Object.keys(ROLES).map((name) => option(name, name === one.role)));
  role.addEventListener("change", () => act(role, async () => {
    try { await ask(at, "PATCH", { role: role.value }); } finally { await again(); }
  }));
  const off = one.status === "disabled";
  box.append(role, press(off ? "Enable" : "Disable", one.name, async () => {
    await ask(at, "PATCH", { disabled: !off });
    await again();
  }));
  if (!off && one.role !== "service") box.append(press("Reset password", `of ${one.name}`, async () => {
    const made = await ask(`${at}/reset`, "POST", { what: "password" });
    offer(made, `Give this to ${one.name}: it is good once, within a day. The password that there was has ended.`);
    await again();
  }));
  if (one.has_totp) box.append(press("Remove second factor", `of ${one.name}`, async () => {
    await ask(`${at}/reset`, "POST", { what: "totp" });
    await again();
  }));
  if (one.id !== state.person.id) box.append(press("Remove", one.name, async () => {
    if (!confirm(`Take the log-in of ${one.name} away?`)) return;
    await ask(at, "DELETE");
    await again();
  }));
  return [box];
}

async function start() {
  const page = document.body.dataset.page;
  let found;
  try {
    found = await ask("/api/session");
  } catch (problem) {
    return warn(problem.message);
  }
  if (page === "login") return login(found);
  if (!found.person) return location.replace(`/login?next=${encodeURIComponent(location.pathname)}`);
  took(found);
  $("who").textContent = `${found.person.name} (${found.person.role})`;
  $("account-link").hidden = false;
  $("people-link").hidden = !["owner", "admin"].includes(found.person.role);
  return page === "account" ? account(found) : people();
}

start();
