// Google's SDK.

import { GoogleGenAI } from "@google/genai";

export async function generate(door, job) {
  const client = new GoogleGenAI({ apiKey: door.key, httpOptions: { baseUrl: door.url, timeout: 30_000 } });
  const parts = [{ text: job.prompt }];
  if (job.image) parts.push({ inlineData: { mimeType: "image/png", data: job.image } });
  const contents = [{ role: "user", parts }];
  const config = {};
  if (job.tools.length) {
    const functionDeclarations = job.tools.map(({ name, description, parameters }) => ({
      name,
      description,
      parametersJsonSchema: parameters,
    }));
    config.tools = [{ functionDeclarations }];
  }
  if (job.thinking) config.thinkingConfig = { includeThoughts: true, thinkingBudget: 2000 };
  if (job.schema) Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: job.schema });
  const [said, turn] = await oneTurn(client, { model: job.model, contents, config }, job);
  if (!job.results.length) return [turn];
  const answers = said
    .filter((part) => part.functionCall)
    .map(({ functionCall: { id, name } }, at) => ({
      functionResponse: { id, name, response: { output: job.results[at] } },
    }));
  contents.push({ role: "model", parts: said }, { role: "user", parts: answers });
  return [turn, (await oneTurn(client, { model: job.model, contents, config }, job))[1]];
}

async function oneTurn(client, asked, job) {
  const chunks = [];
  if (job.stream) {
    for await (const chunk of await client.models.generateContentStream(asked)) chunks.push(chunk);
  } else {
    chunks.push(await client.models.generateContent(asked));
  }
  const candidates = chunks.flatMap((chunk) => chunk.candidates ?? []);
  const parts = candidates.flatMap((candidate) => candidate.content?.parts ?? []);
  const joined = (thought) =>
    parts
      .filter((part) => Boolean(part.thought) === thought)
      .map((part) => part.text ?? "")
      .join("");
  const usage = chunks.at(-1).usageMetadata;
  const text = joined(false);
  const turn = {
    text,
    thinking: joined(true),
    calls: parts.filter((part) => part.functionCall).map(({ functionCall: { name, args } }) => ({ name, args })),
    used: usage && {
      input: usage.promptTokenCount,
      cached: usage.cachedContentTokenCount,
      output: usage.candidatesTokenCount,
      reasoning: usage.thoughtsTokenCount,
    },
    end: candidates.at(-1)?.finishReason ?? "",
    parsed: job.schema && text ? JSON.parse(text) : null,
    events: job.stream ? chunks.length : 0,
  };
  return [parts, turn];
}
