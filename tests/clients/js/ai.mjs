// The AI SDK over three of its providers. It has one conversation model of its own, so one client serves all of them.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";

const openai = (door) => createOpenAI({ baseURL: `${door.url}/v1`, apiKey: door.key });

export const openaiChat = (door, job) =>
  converse(openai(door).chat(job.model), job, { openai: { reasoningEffort: "low" } });

export const openaiResponses = (door, job) => {
  const thinking = {
    reasoningEffort: "low",
    reasoningSummary: "auto",
    store: false,
    include: ["reasoning.encrypted_content"],
    forceReasoning: true,
  };
  return converse(openai(door).responses(job.model), job, { openai: thinking }, { openai: { store: false } });
};

export const anthropic = (door, job) => {
  const model = createAnthropic({ baseURL: `${door.url}/v1`, apiKey: door.key })(job.model);
  return converse(
    model,
    job,
    { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
    { anthropic: { structuredOutputMode: "outputFormat" } },
  );
};

export const google = (door, job) => {
  const model = createGoogleGenerativeAI({ baseURL: `${door.url}/v1beta`, apiKey: door.key })(job.model);
  return converse(model, job, { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } } });
};

async function converse(model, job, thinking, always = {}) {
  const content = [{ type: "text", text: job.prompt }];
  if (job.image) content.push({ type: "file", data: job.image, mediaType: "image/png" });
  const messages = [{ role: "user", content }];
  const asked = { model, maxRetries: 0, maxOutputTokens: 8000, providerOptions: job.thinking ? thinking : always };
  if (job.tools.length) {
    asked.tools = Object.fromEntries(
      job.tools.map(({ name, description, parameters }) => [
        name,
        tool({ description, inputSchema: jsonSchema(parameters) }),
      ]),
    );
  }
  if (job.schema) asked.output = Output.object({ schema: jsonSchema(job.schema) });
  const [said, turn, calls] = await oneTurn({ ...asked, messages }, job);
  if (!job.results.length) return [turn];
  const answers = calls.map(({ toolCallId, toolName }, at) => ({
    type: "tool-result",
    toolCallId,
    toolName,
    output: { type: "text", value: job.results[at] },
  }));
  messages.push(...said, { role: "tool", content: answers });
  return [turn, (await oneTurn({ ...asked, messages }, job))[1]];
}

async function oneTurn(asked, job) {
  let result;
  let events = 0;
  if (job.stream) {
    let failure;
    result = streamText({ ...asked, onError: () => {} });
    for await (const part of result.fullStream) {
      events += 1;
      if (part.type === "error") failure = part.error;
    }
    if (failure) throw failure;
  } else {
    result = await generateText(asked);
  }
  const [text, thinking, calls, usage, end, response] = await Promise.all([
    result.text,
    result.reasoningText,
    result.toolCalls,
    result.usage,
    result.finishReason,
    result.response,
  ]);
  const parsed = job.schema ? await (job.stream ? result.output : result.output) : null;
  const turn = {
    text,
    thinking: thinking ?? "",
    calls: calls.map(({ toolName, input }) => ({ name: toolName, args: input })),
    used: {
      input: usage.inputTokens,
      cached: usage.inputTokenDetails.cacheReadTokens,
      written: usage.inputTokenDetails.cacheWriteTokens,
      output: usage.outputTokens,
      reasoning: usage.outputTokenDetails.reasoningTokens,
    },
    end,
    parsed,
    events,
  };
  return [response.messages, turn, calls];
}
