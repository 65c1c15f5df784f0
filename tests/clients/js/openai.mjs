// OpenAI's SDK, over Chat Completions and over Responses.

import OpenAI from "openai";

const client = (door) => new OpenAI({ baseURL: `${door.url}/v1`, apiKey: door.key, maxRetries: 0, timeout: 30_000 });

const declared = ({ name, description, parameters }) => ({ name, description, parameters });

export async function chat(door, job) {
  const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${job.image}` } };
  const content = job.image ? [{ type: "text", text: job.prompt }, picture] : job.prompt;
  const messages = [{ role: "user", content }];
  const asked = { model: job.model };
  if (job.tools.length) asked.tools = job.tools.map((tool) => ({ type: "function", function: declared(tool) }));
  if (job.schema) {
    const named = { name: "answer", schema: job.schema, strict: true };
    asked.response_format = { type: "json_schema", json_schema: named };
  }
  if (job.thinking) asked.reasoning_effort = "low";
  const [message, turn] = await chatTurn(client(door), { ...asked, messages }, job);
  if (!job.results.length) return [turn];
  messages.push(message);
  message.tool_calls.forEach((call, at) =>
    messages.push({ role: "tool", tool_call_id: call.id, content: job.results[at] }),
  );
  return [turn, (await chatTurn(client(door), { ...asked, messages }, job))[1]];
}

async function chatTurn(openai, asked, job) {
  let done;
  let events = 0;
  let thought = "";
  if (job.stream) {
    const stream = openai.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      events += 1;
      thought += chunk.choices[0]?.delta.reasoning_content ?? "";
    }
    done = await stream.finalChatCompletion();
  } else {
    done = await openai.chat.completions.create(asked);
    thought = done.choices[0].message.reasoning_content ?? "";
  }
  const { message, finish_reason: end } = done.choices[0];
  const used = done.usage && {
    input: done.usage.prompt_tokens,
    cached: done.usage.prompt_tokens_details?.cached_tokens,
    output: done.usage.completion_tokens,
    reasoning: done.usage.completion_tokens_details?.reasoning_tokens,
  };
  const calls = (message.tool_calls ?? []).map((call) => ({
    name: call.function.name,
    args: JSON.parse(call.function.arguments),
  }));
  const text = message.content ?? "";
  const parsed = job.schema && text ? JSON.parse(text) : null;
  return [message, { text, thinking: thought, calls, used, end, parsed, events }];
}

export async function responses(door, job) {
  const content = [{ type: "input_text", text: job.prompt }];
  if (job.image) {
    content.push({ type: "input_image", detail: "auto", image_url: `data:image/png;base64,${job.image}` });
  }
  const input = [{ role: "user", content }];
  const asked = { model: job.model, store: false };
  if (job.tools.length) {
    asked.tools = job.tools.map((tool) => ({ type: "function", strict: false, ...declared(tool) }));
  }
  if (job.schema) {
    asked.text = { format: { type: "json_schema", name: "answer", schema: job.schema, strict: true } };
  }
  if (job.thinking) {
    asked.reasoning = { effort: "low", summary: "auto" };
    asked.include = ["reasoning.encrypted_content"];
  }
  const [output, turn] = await responsesTurn(client(door), { ...asked, input }, job);
  if (!job.results.length) return [turn];
  input.push(...output);
  output
    .filter((item) => item.type === "function_call")
    .forEach((call, at) =>
      input.push({ type: "function_call_output", call_id: call.call_id, output: job.results[at] }),
    );
  return [turn, (await responsesTurn(client(door), { ...asked, input }, job))[1]];
}

async function responsesTurn(openai, asked, job) {
  let done;
  let events = 0;
  if (job.stream) {
    const stream = openai.responses.stream(asked);
    for await (const _ of stream) events += 1;
    done = await stream.finalResponse();
  } else {
    done = await openai.responses.create(asked);
  }
  const used = done.usage && {
    input: done.usage.input_tokens,
    cached: done.usage.input_tokens_details.cached_tokens,
    output: done.usage.output_tokens,
    reasoning: done.usage.output_tokens_details.reasoning_tokens,
  };
  const of = (type) => done.output.filter((item) => item.type === type);
  const text = done.output_text ?? "";
  const turn = {
    text,
    thinking: of("reasoning").flatMap((item) => item.summary.map((part) => part.text)).join(""),
    calls: of("function_call").map((item) => ({ name: item.name, args: JSON.parse(item.arguments) })),
    used,
    end: done.status,
    parsed: job.schema && text ? JSON.parse(text) : null,
    events,
  };
  return [done.output, turn];
}
