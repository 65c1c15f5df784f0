// Clients in JavaScript: a job a line in, a report a line out (../workers.py).

import { createInterface } from "node:readline";
import * as ai from "./ai.mjs";
import * as anthropic from "./anthropic.mjs";
import * as google from "./google.mjs";
import * as openai from "./openai.mjs";

const CLIENTS = {
  "openai/javascript/openai.chat": openai.chat,
  "openai/javascript/openai.responses": openai.responses,
  "@anthropic-ai/sdk/javascript/anthropic.messages": anthropic.messages,
  "@google/genai/javascript/gemini.generate": google.generate,
  "@ai-sdk/openai/javascript/openai.chat": ai.openaiChat,
  "@ai-sdk/openai/javascript/openai.responses": ai.openaiResponses,
  "@ai-sdk/anthropic/javascript/anthropic.messages": ai.anthropic,
  "@ai-sdk/google/javascript/gemini.generate": ai.google,
};

function raised(error) {
  const family = [];
  for (let kind = error; kind && kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
    const name = kind.constructor?.name;
    if (name && family.at(-1) !== name) family.push(name);
  }
  if (error?.name && !family.includes(error.name)) family.push(error.name);
  const headers = error?.headers ?? error?.responseHeaders;
  const retry = typeof headers?.get === "function" ? headers.get("retry-after") : headers?.["retry-after"];
  return {
    kind: error?.constructor?.name ?? String(error),
    family,
    status: error?.status ?? error?.statusCode ?? null,
    retry_after: retry ?? null,
    message: String(error?.message ?? error),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { url, key, client, job } = JSON.parse(line);
  let report;
  try {
    report = { turns: await CLIENTS[client]({ url, key }, job) };
  } catch (error) {
    report = { raised: raised(error) };
  }
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
