// Anthropic's SDK.

import Anthropic from "@anthropic-ai/sdk";

export async function messages(door, job) {
  const client = new Anthropic({ baseURL: door.url, apiKey: door.key, maxRetries: 0, timeout: 30_000 });
  const content = [{ type: "text", text: job.prompt }];
  if (job.image) {
    content.push({ type: "image", source: { type: "base64", media_type: "image/png", data: job.image } });
  }
  const said = [{ role: "user", content }];
  const asked = { model: job.model, max_tokens: 8000 };
  if (job.tools.length) {
    asked.tools = job.tools.map(({ name, description, parameters }) => ({
      name,
      description,
      input_schema: parameters,
    }));
  }
  if (job.schema) asked.output_config = { format: { type: "json_schema", schema: job.schema } };
  if (job.thinking) asked.thinking = { type: "enabled", budget_tokens: 2000 };
  const [blocks, turn] = await oneTurn(client, { ...asked, messages: said }, job);
  if (!job.results.length) return [turn];
  const answers = blocks
    .filter((block) => block.type === "tool_use")
    .map((call, at) => ({ type: "tool_result", tool_use_id: call.id, content: job.results[at] }));
  said.push({ role: "assistant", content: blocks }, { role: "user", content: answers });
  return [turn, (await oneTurn(client, { ...asked, messages: said }, job))[1]];
}

async function oneTurn(client, asked, job) {
  let done;
  let events = 0;
  if (job.stream) {
    const stream = client.messages.stream(asked);
    for await (const _ of stream) events += 1;
    done = await stream.finalMessage();
  } else {
    done = await client.messages.create(asked);
  }
  const joined = (type, key) =>
    done.content
      .filter((block) => block.type === type)
      .map((block) => block[key])
      .join("");
  const used = {
    input: done.usage.input_tokens,
    cached: done.usage.cache_read_input_tokens,
    written: done.usage.cache_creation_input_tokens,
    output: done.usage.output_tokens,
  };
  const text = joined("text", "text");
  const calls = done.content.filter((block) => block.type === "tool_use");
  const turn = {
    text,
    thinking: joined("thinking", "thinking"),
    calls: calls.map(({ name, input }) => ({ name, args: input })),
    used,
    end: done.stop_reason ?? "",
    parsed: job.schema && text ? JSON.parse(text) : null,
    events,
  };
  return [done.content, turn];
}
