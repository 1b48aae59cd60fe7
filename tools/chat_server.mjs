// Serves a GGUF file through an OpenAI-compatible interface, by llama.cpp.
//
//     npm install --prefix build/llama --ignore-scripts --omit=optional node-llama-cpp@3.21.1
//     npm install --prefix build/llama --ignore-scripts --omit=optional @node-llama-cpp/linux-x64@3.21.1
//     NODE_PATH=build/llama/node_modules node tools/chat_server.mjs FILE.gguf [PORT]
//
// The script prints the address of the interface as soon as it can answer. Only POST /v1/chat/completions is served,
// on this machine alone. The server offers what the model `chat` asks for: messages, max_tokens, temperature, seed and
// response_format. Requests are answered one after another, because llama.cpp has one context here.

import http from "node:http";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const CONTEXT = 2048; // tokens of a prompt and an answer together
const [file, port = "8080"] = process.argv.slice(2);
const entry = createRequire(import.meta.url).resolve("node-llama-cpp");
const {getLlama, LlamaChat} = await import(pathToFileURL(entry).href);

const llama = await getLlama({gpu: false, build: "never", progressLogs: false, maxThreads: 1});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({contextSize: CONTEXT, threads: 1});
const sequence = context.getSequence();
const chat = new LlamaChat({contextSequence: sequence});
const ROLES = {system: "system", user: "user"};

async function answer(body) {
    const history = body.messages.map(({role, content}) => {
        if (!(role in ROLES)) throw new Error(`role ${role} is not served`);
        return {type: ROLES[role], text: content};
    });
    const schema = body.response_format?.json_schema?.schema;
    const grammar = schema && (await llama.createGrammarForJsonSchema(schema));
    const before = sequence.tokenMeter.getState();
    const {response, metadata} = await chat.generateResponse([...history, {type: "model", response: []}], {
        temperature: body.temperature ?? 0,
        seed: body.seed ?? 0,
        maxTokens: body.max_tokens ?? 256,
        repeatPenalty: false,
        grammar,
    });
    const used = sequence.tokenMeter.diff(before);
    const read = history.reduce((sum, {text}) => sum + model.tokenize(text).length, 0);
    const finish = metadata.stopReason === "maxTokens" ? "length" : "stop";
    return {
        object: "chat.completion",
        choices: [{index: 0, message: {role: "assistant", content: response}, finish_reason: finish}],
        usage: {
            prompt_tokens: read,
            completion_tokens: used.usedOutputTokens,
            total_tokens: read + used.usedOutputTokens,
        },
    };
}

let last = Promise.resolve();
const server = http.createServer((request, reply) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
        last = last.then(async () => {
            let status = 200;
            let content;
            try {
                if (request.url !== "/v1/chat/completions") throw new Error(`${request.url} is not served`);
                content = await answer(JSON.parse(Buffer.concat(parts).toString("utf8")));
            } catch (error) {
                status = 400;
                content = {error: {message: String(error.message)}};
            }
            reply.writeHead(status, {"Content-Type": "application/json"});
            reply.end(JSON.stringify(content));
        });
    });
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
