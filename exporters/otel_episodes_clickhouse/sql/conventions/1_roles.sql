-- What a span is, by an attribute or its name; docs/how-to/instrumentations.md says how to add rows of your own.
-- Rank: the lowest of those that match counts. 0 to 99: words of the conventions; 100 to 199: words of single frameworks;
-- 200 to 299: attributes that only such spans have; 500: a word of a known attribute that nobody here has heard of.

-- name: roles_of_genai
INSERT INTO internal_conventions_shipped (Attribute, Value, Role, Rank) VALUES
    ('logfire.span_type', 'pending_span', 'ignored', 0),
    ('episode.span', 'step', 'step', 1),
    ('gen_ai.operation.name', 'invoke_agent', 'agent', 10),
    ('gen_ai.operation.name', 'execute_tool', 'tool', 10),
    ('gen_ai.operation.name', 'chat', 'model', 10),
    ('gen_ai.operation.name', 'text_completion', 'model', 10),
    ('gen_ai.operation.name', 'generate_content', 'model', 10),
    ('gen_ai.operation.name', 'embeddings', 'model', 10),
    ('gen_ai.operation.name', 'llm_request', 'model', 10),
    ('gen_ai.operation.name', 'fetch_response', 'housekeeping', 10),
    ('gen_ai.operation.name', 'create_agent', 'housekeeping', 10),
    ('gen_ai.operation.name', 'plan', 'structure', 10),
    ('gen_ai.operation.name', 'invoke_workflow', 'structure', 10),
    ('gen_ai.operation.name', 'execute_task', 'structure', 10),
    ('gen_ai.operation.name', 'agent_step', 'structure', 10),
    ('gen_ai.operation.name', 'execute_event_loop_cycle', 'structure', 10),
    ('gen_ai.operation.name', 'retrieval', 'structure', 10),
    ('gen_ai.operation.name', 'vector_db_retrieve', 'structure', 10),
    ('gen_ai.operation.name', 'create_memory', 'structure', 10),
    ('gen_ai.operation.name', 'search_memory', 'structure', 10),
    ('gen_ai.operation.name', 'update_memory', 'structure', 10),
    ('gen_ai.operation.name', 'upsert_memory', 'structure', 10),
    ('gen_ai.operation.name', 'delete_memory', 'structure', 10),
    ('gen_ai.operation.name', 'create_memory_store', 'housekeeping', 10),
    ('gen_ai.operation.name', 'delete_memory_store', 'housekeeping', 10),
    ('gen_ai.operation.name', 'handoff', 'structure', 10),
    ('gen_ai.operation.name', 'goto', 'structure', 10),
    ('gen_ai.operation.name', 'model_generation', 'structure', 10),
    ('gen_ai.operation.name', 'model_chunk', 'housekeeping', 10),
    ('gen_ai.operation.name', 'chain', 'structure', 120),
    ('gen_ai.operation.name', '*', 'structure', 500),
    ('mcp.method.name', 'tools/call', 'tool', 240),
    ('mcp.method.name', '*', 'housekeeping', 245),
    ('gen_ai.tool.name', '', 'tool', 200),
    ('gen_ai.request.model', '', 'model', 250),
    ('gen_ai.response.model', '', 'model', 251);

-- name: roles_by_kind
-- Instrumentations with an attribute of their own for the kind of a span; *.span.kind is openinference, traceloop, langsmith.
INSERT INTO internal_conventions_shipped (Attribute, Value, Role, Rank) VALUES
    ('*.span.kind', 'agent', 'agent', 20), ('*.span.kind', 'tool', 'tool', 20), ('*.span.kind', 'llm', 'model', 20),
    ('*.span.kind', 'embedding', 'model', 20), ('*.span.kind', 'chain', 'structure', 20),
    ('*.span.kind', 'workflow', 'structure', 20), ('*.span.kind', 'task', 'structure', 20),
    ('*.span.kind', 'retriever', 'structure', 20), ('*.span.kind', 'reranker', 'structure', 20),
    ('*.span.kind', 'guardrail', 'structure', 20), ('*.span.kind', 'evaluator', 'structure', 20),
    ('*.span.kind', 'prompt', 'structure', 20), ('*.span.kind', 'parser', 'structure', 20),
    ('*.span.kind', 'decision', 'structure', 20), ('*.span.kind', 'unknown', 'structure', 20),
    ('openinference.span.kind', '*', 'structure', 501), ('traceloop.span.kind', '*', 'structure', 502),
    ('langsmith.span.kind', '*', 'structure', 503),
    ('langfuse.observation.type', 'agent', 'agent', 40), ('langfuse.observation.type', 'tool', 'tool', 40),
    ('langfuse.observation.type', 'generation', 'model', 40), ('langfuse.observation.type', 'embedding', 'model', 40),
    ('langfuse.observation.type', 'span', 'structure', 40), ('langfuse.observation.type', 'event', 'structure', 40),
    ('langfuse.observation.type', 'chain', 'structure', 40), ('langfuse.observation.type', 'retriever', 'structure', 40),
    ('langfuse.observation.type', 'guardrail', 'structure', 40), ('langfuse.observation.type', 'evaluator', 'structure', 40),
    ('langfuse.observation.type', '*', 'structure', 504),
    -- Others use span.type for something else (web, sql): only words of agents count.
    ('span.type', 'agent', 'agent', 30), ('span.type', 'llm', 'model', 30), ('span.type', 'llm_request', 'model', 30),
    ('span.type', 'tool', 'tool', 30), ('span.type', 'tool.execution', 'execution', 30),
    ('span.type', 'tool.blocked_on_user', 'structure', 30), ('span.type', 'interaction', 'structure', 30),
    ('span.type', 'chain', 'structure', 30), ('span.type', 'task', 'structure', 30), ('span.type', 'turn', 'structure', 30),
    ('span.type', 'workflow', 'structure', 30), ('span.type', 'hook', 'structure', 30),
    -- x.span.type: words that mean nothing else.
    ('*.span.type', 'agent_run', 'agent', 145), ('*.span.type', 'tool_call', 'tool', 145), ('*.span.type', 'mcp_tool_call', 'tool', 145),
    ('*.span.type', 'llm_generation', 'model', 145), ('*.span.type', 'llm', 'model', 145), ('*.span.type', 'tool', 'tool', 145),
    ('*.span.type', 'agent', 'agent', 145), ('*.span.type', 'workflow_run', 'structure', 145), ('*.span.type', 'workflow_step', 'structure', 145),
    ('tool.name', '', 'tool', 210), ('llm.request.type', '', 'model', 255), ('agent_name', '', 'weak agent', 260);

-- name: roles_of_frameworks
INSERT INTO internal_conventions_shipped (Attribute, Value, Role, Rank) VALUES
    -- Vercel AI SDK, to version 6: an operation with its model calls inside.
    ('ai.operationId', 'ai.generatetext', 'agent', 100), ('ai.operationId', 'ai.streamtext', 'agent', 100),
    ('ai.operationId', 'ai.generateobject', 'agent', 100), ('ai.operationId', 'ai.streamobject', 'agent', 100),
    ('ai.operationId', 'ai.generatetext.dogenerate', 'model', 100), ('ai.operationId', 'ai.streamtext.dostream', 'model', 100),
    ('ai.operationId', 'ai.generateobject.dogenerate', 'model', 100), ('ai.operationId', 'ai.streamobject.dostream', 'model', 100),
    ('ai.operationId', 'ai.embed.doembed', 'model', 100), ('ai.operationId', 'ai.embedmany.doembed', 'model', 100),
    ('ai.operationId', 'ai.toolcall', 'tool', 100), ('ai.operationId', '*', 'structure', 510),
    -- Haystack: by the name of the span.
    ('span name', 'haystack.agent.run', 'agent', 110), ('span name', 'haystack.agent.step', 'structure', 110),
    ('span name', 'haystack.agent.step.llm', 'model', 110), ('span name', 'haystack.agent.step.tool', 'tool', 110),
    ('span name', 'haystack.pipeline.run', 'structure', 110), ('span name', 'haystack.async_pipeline.run', 'structure', 110),
    ('span name', 'haystack.component.run', 'structure', 111),
    ('haystack.component.type', 'agent', 'structure', 109),
    ('haystack.component.type', 'openaichatgenerator', 'model', 109), ('haystack.component.type', 'openaigenerator', 'model', 109),
    -- MLflow.
    ('mlflow.spanType', 'agent', 'agent', 120), ('mlflow.spanType', 'tool', 'tool', 120), ('mlflow.spanType', 'llm', 'model', 120),
    ('mlflow.spanType', 'chat_model', 'model', 120), ('mlflow.spanType', 'embedding', 'model', 120),
    ('mlflow.spanType', 'chain', 'structure', 120), ('mlflow.spanType', 'unknown', 'structure', 120),
    ('mlflow.spanType', 'workflow', 'structure', 120), ('mlflow.spanType', 'task', 'structure', 120),
    ('mlflow.spanType', 'parser', 'structure', 120), ('mlflow.spanType', 'retriever', 'structure', 120),
    ('mlflow.spanType', '*', 'structure', 520),
    -- Genkit: an action, and which.
    ('genkit:metadata:subtype', 'tool', 'tool', 130), ('genkit:metadata:subtype', 'model', 'model', 130),
    ('genkit:metadata:subtype', 'embedder', 'model', 130), ('genkit:metadata:subtype', 'flow', 'structure', 130),
    ('genkit:metadata:subtype', 'prompt', 'structure', 130), ('genkit:metadata:subtype', 'executable-prompt', 'structure', 130),
    ('genkit:type', 'flow', 'structure', 131), ('genkit:type', 'util', 'structure', 132), ('genkit:type', '*', 'structure', 530),
    -- VoltAgent.
    ('entity.type', 'agent', 'agent', 140), ('entity.type', 'tool', 'tool', 141), ('entity.type', 'llm', 'model', 141),
    ('*.agent.role', '', 'agent', 270), ('*.team.name', '', 'agent', 280);
