"""A scripted model provider in many wire formats, for demonstrations, tests, benchmarks and fault injection.

It owns what a provider would do: paths, shapes, streams, usage, errors and every way of failing on purpose. It never
imports a service, keeps nothing on disk, and calls nobody.

    simulator = Simulator("127.0.0.1", 0)
    port = await simulator.start()
    ...
    await simulator.stop()

Paths
    POST /v1/chat/completions · /v1/responses · /v1/messages · /v1/messages/count_tokens
    POST /v1/embeddings (OpenAI's format)
    POST /v1beta/models/{model}:generateContent · :streamGenerateContent · :countTokens        (also under /v1)
    POST /v1internal:generateContent · :streamGenerateContent?alt=sse · :countTokens (Cloud Code)
    POST /aiserver.v1.ChatService/StreamUnifiedChatWithTools (Cursor)
    POST /model/{model}/converse · /model/{model}/converse-stream (Bedrock) · /generateAssistantResponse (Kiro)
    POST /api/chat · GET /api/tags (Ollama) · POST /v2/chat (Cohere)
    GET  /v1/models (the shape follows the headers, as each vendor's SDK expects) · /v1/models/{model} · /v1beta/models
    What is left of a plan, at each vendor's usage address: GET /api/oauth/usage (Claude Code) · /backend-api/wham/usage
    (Codex) · /copilot_internal/user · /api/monitor/usage/quota/limit (GLM) · /coding/v1/usages (Kimi) ·
    /v1/api/openplatform/coding_plan/remains (MiniMax) · /api/v1/key (OpenRouter) · POST /usage-limits (Kiro) ·
    /v1internal:retrieveUserQuota (Gemini CLI) · :fetchAvailableModels (Antigravity)
    GET  /healthz · /sim/stats        DELETE /sim/stats sets the counters back
    Everything under /v1 also answers without it. /v1/v1/… is a 404, as it would be at a provider.

The script
    A model name is ``name+step+step…``; a step is ``key`` or ``key:value``. Any name will do, and the whole string is
    echoed back as the model. The header ``x-sim-script: step,step`` adds steps and wins over the name; a simulator
    started with a script of its own applies that to every request first. Values are percent-decoded. An unknown key
    or a value out of bounds is a 400 that says so. Examples: ``sim``, ``sim+latency:50+cut:3``,
    ``sim-a+fail-first:2+status:503+retry-after:7``, ``sim+think+tools+parallel:2``.

    What it says
      tokens:n         an answer of n words                     say:text          exactly this text
      think[:n]        n words of reasoning first (8)           cached:n          n input tokens came from a cache
      input:n          report n input tokens                    cache-write:n     n input tokens were written to one
      tools            call a tool that is offered              parallel:n        n calls at once (implies tools)
      agent            play the agent, below                    file:path         the file that the agent writes
      content:text     what the agent writes into it            finish:length     or finish:filter: end with this reason
      no-usage         leave usage out                          recount           tell in JSON what came: below
      cite[:n]         cite n addresses (2), in the four formats that can
      plan:n           its key may ask n times in a window of plan-for:s (5 h) from the first use; headers, the usage
                       addresses and, beyond it, a 429 tell so
      quota:n          headers that tell of n requests a minute (100), of which quota-left:n are left (all)
    How fast
      latency:ms       before the first byte                    ttft:ms           between headers and first event
      tps:n            tokens a second                          split-utf8        writes cut in characters and events
      drip:ms          between two events, or two of the 25 pieces that a body comes in
    Faults instead of an answer
      status:n         this status, with the error body of the format; with retry-after:s, code:text, html (not JSON)
      hang             accept, and never answer                 reset             TCP reset without an answer
      empty            200 and an empty body                    error-200         200 with an error object
      html-200         200 with a page, not an answer           type:mime         the answer under this Content-Type
    Faults in a stream, after n events (3); at the latest before the event that says how the answer ended
      cut[:n]          the connection closes                    clean-cut[:n]     the body ends properly, but too early
      cut-in:text      it closes in the middle of this text, as inside a character, a thought, an argument of a call, of
                       a body too; the script is echoed in the answer, so write a letter of it as %xx
      stall[:n]        silence; for ever, or for stall-ms:ms    malformed[:n]     one event that is not JSON, then on
      error-event[:n]  the format's own error event, saying what status:n says (500), then the end
    Faults in a body that is not streamed
      truncate         Content-Length promises all, half comes, the connection closes (cut does the same here)
      malformed        well framed, not JSON                    stall             half the body, then silence
    Rate limits, of a key and a model name; what is beyond is a 429 that says why, and not for how long
      rpm:n            n requests in any minute                 at-once:n         n under way, as latency makes them
    Which requests the faults hit (all, when nothing is said)
      fail-first:n     the first n with this model and script   fail-every:n      every nth of them
      only-key:value   those that carry this API key            require-key:value 401 for any other key

Counting, so that bills can be checked
    Input tokens: ⌈UTF-8 bytes of all text ÷ 4⌉, at least 1, where text is the system prompt, every text part, tool-call
    arguments and tool results, but not the tool definitions; an image, audio or document counts 100.
    Output tokens: the pieces emitted, one a delta: a word of text or of reasoning; 12 characters of structured output
    or of tool arguments; one for each tool name. The output limit of the request holds for all of them together; a call
    that does not fit is left out, and the finish reason says ``length``.
    Ids, signatures and time stamps derive from the request: the same request has the same answer, byte for byte.

What it reads
    ``n`` and ``candidateCount`` answers, interleaved and all the same; each one counts.
    ``tool_choice`` is obeyed (required and named ones by every name). A tool result answers a call in the history, else
    400. After tool results, the answer quotes them. Stop sequences, parallel-call switches, structured output and
    ``stream_options.include_usage`` are honoured. Kiro's and Cursor's formats have no place for a schema: there it is
    heeded where the user's last words end with it (``… schema: {…}``).

    A signature that the simulator did not give is a 400; none at all is none.
    Vectors of texts are made of their words: the same in other words is near, a not or a number does not show (see
    ``embedding``). Their scripts have no answer to say, but are as fast, and as faulty.
    ``recount`` answers {"media":[{"type","bytes","crc32"}],"signed":n,"results":[text]}: what else than text came and
    the CRC-32 of its bytes, how many signatures of ours came back, and the latest tool results.

The agent
    Among the tools offered it takes the one with a path-like and a content-like property (``write_file`` before
    ``edit``), else a shell (``command``, ``cmd``, ``commands``), else a freeform patch or script tool; calls it with
    the file named in ``file:``, or in the user's words, or ``simulated.txt``, under the working directory that the
    prompt names; reads the result; ends with a word about it.
"""

from omni_simulator.serve import run
from omni_simulator.server import Options, Simulator

__all__ = ["Options", "Simulator", "run"]
