-- What an attribute holds. event/attribute: an attribute of a span event; attribute/key: a key of the JSON in an attribute.
-- Of several the lowest Rank counts; of one of them that is a list of messages, the message that is meant.

-- name: fields_of_names
INSERT INTO internal_conventions_shipped (Attribute, Field, Rank) VALUES
    ('gen_ai.tool.name', 'tool', 10), ('tool.name', 'tool', 20), ('tool_name', 'tool', 30), ('mcp.tool.name', 'tool', 40),
    ('ai.toolCall.name', 'tool', 50), ('haystack.tool.name', 'tool', 50), ('*.tool.name', 'tool', 90),
        ('traceloop.entity.output/tool_name', 'tool', 95),
    ('traceloop.entity.name', 'entity', 10), ('mlflow.spanFunctionName', 'entity', 20), ('genkit:name', 'entity', 30),
    ('gen_ai.agent.name', 'agent', 10), ('agent.name', 'agent', 20), ('agent_name', 'agent', 30),
    ('graph.node.name', 'agent', 40), ('graph.node.id', 'agent', 41), ('*.agent.role', 'agent', 50), ('*.team.name', 'agent', 51),
    ('agno.team', 'agent', 52), ('agno.agent', 'agent', 53), ('metadata/lc_agent_name', 'agent', 60),
    ('*.metadata.lc_agent_name', 'agent', 61), ('ai.telemetry.functionId', 'agent', 70), ('haystack.component.name', 'agent', 75),
    ('subagent.name', 'agent', 79), ('entity.name', 'agent', 80), ('gen_ai.workflow.name', 'workflow', 10),
    ('gen_ai.conversation.id', 'conversation', 10), ('session.id', 'conversation', 20), ('*.metadata.thread_id', 'conversation',
        30);

-- name: fields_of_content
INSERT INTO internal_conventions_shipped (Attribute, Field, Rank) VALUES
    ('user_prompt', 'asked', 5), ('gen_ai.user.message/content', 'asked', 10), ('gen_ai.input.messages', 'asked', 20),
    ('gen_ai.client.inference.operation.details/gen_ai.input.messages', 'asked', 21),
    ('gen_ai.content.prompt/gen_ai.prompt', 'asked', 25), ('pydantic_ai.all_messages', 'asked', 30),
    ('all_messages_events', 'asked', 31), ('langfuse.observation.input', 'asked', 40), ('langfuse.trace.input', 'asked', 41),
    ('ai.prompt.messages', 'asked', 50), ('ai.prompt', 'asked', 49), ('haystack.agent.input', 'asked', 55),
    ('haystack.agent.step.llm.input', 'asked', 56), ('haystack.pipeline.input_data', 'asked', 57),
    ('gcp.vertex.agent.llm_request', 'asked', 60), ('crewai.task.description', 'asked', 65), ('crewai.crew.tasks', 'asked', 66),
    ('mlflow.spanInputs', 'asked', 70), ('genkit:input', 'asked', 71), ('gen_ai.prompt', 'asked', 75),
    ('*.agent_run.input', 'asked', 72), ('*.model_generation.input', 'asked', 73), ('*.workflow_run.input', 'asked', 74),
    ('llm.messages', 'asked', 76), ('gen_ai.user.message/gen_ai.event.content', 'asked', 11),
    ('traceloop.entity.input', 'asked', 80), ('input.value', 'asked', 90), ('input', 'asked', 95), ('output.value/description',
        'asked otherwise', 10),
    ('gen_ai.tool.call.arguments', 'arguments', 10), ('gen_ai.tool.message/content', 'arguments', 15),
    ('tool_arguments', 'arguments', 20), ('full_command', 'arguments', 21), ('file_path', 'arguments', 22),
    ('tool_input', 'arguments', 23), ('tool.arguments', 'arguments', 25), ('langfuse.observation.input', 'arguments', 30),
    ('ai.toolCall.args', 'arguments', 40), ('haystack.agent.step.tool.input', 'arguments', 41),
    ('gcp.vertex.agent.tool_call_args', 'arguments', 42), ('mlflow.spanInputs', 'arguments', 43), ('genkit:input', 'arguments', 44),
    ('traceloop.entity.input', 'arguments', 50), ('input.value', 'arguments', 60), ('gen_ai.prompt', 'arguments', 65),
    ('tool.parameters', 'arguments', 85), ('input', 'arguments', 80),
    ('gen_ai.tool.call.result', 'result', 10), ('gen_ai.choice/message', 'result', 15), ('tool_response', 'result', 20),
    ('tool_output', 'result', 21), ('langfuse.observation.output', 'result', 30), ('ai.toolCall.result', 'result', 40),
    ('haystack.agent.step.tool.output', 'result', 41), ('gcp.vertex.agent.tool_response', 'result', 42),
    ('mlflow.spanOutputs', 'result', 43), ('genkit:output', 'result', 44), ('traceloop.entity.output', 'result', 50),
    ('output.value', 'result', 60), ('gen_ai.completion', 'result', 65), ('output', 'result', 80);

-- name: fields_of_errors
INSERT INTO internal_conventions_shipped (Attribute, Value, Field, Rank) VALUES
    ('error.type', '', 'error type', 10), ('error_type', '', 'error type', 20),
    ('langfuse.observation.status_message', '', 'error', 10), ('error', '', 'error', 20),
    ('langfuse.observation.level', 'error', 'failed', 10), ('gen_ai.tool.status', 'error', 'failed', 10),
    ('haystack.tool.error', 'true', 'failed', 10), ('traceloop.entity.output/is_error', 'true', 'failed', 40), ('success',
        'false', 'failed', 20), ('genkit:state', 'error', 'failed', 20),
    ('gen_ai.response.finish_reasons', '["error"]', 'failed', 30), ('ai.response.finishReason', 'error', 'failed', 30),
    ('llm.finish_reason', 'error', 'failed', 30), ('*.finish_reason', 'error', 'failed', 30);

-- name: fields_of_models
INSERT INTO internal_conventions_shipped (Attribute, Field, Rank) VALUES
    ('gen_ai.provider.name', 'provider', 10), ('gen_ai.system', 'provider', 20), ('llm.provider', 'provider', 30),
    ('llm.system', 'provider', 31), ('ai.model.provider', 'provider', 40),
    ('gen_ai.response.model', 'model', 10), ('gen_ai.request.model', 'model', 20), ('llm.model_name', 'model', 30),
    ('ai.response.model', 'model', 40), ('ai.model.id', 'model', 41), ('langfuse.observation.model.name', 'model', 50),
    ('model_name', 'model', 60),
    ('gen_ai.response.id', 'response', 10), ('ai.response.id', 'response', 20), ('llm.response.id', 'response', 30),
    ('gen_ai.response.finish_reasons', 'finish', 10), ('llm.finish_reason', 'finish', 20), ('ai.response.finishReason',
        'finish', 30),
    ('gen_ai.choice/finish_reason', 'finish', 40), ('gen_ai.response.finish_reason', 'finish', 15), ('*.finish_reason', 'finish', 50),
    ('gen_ai.output.messages', 'answer', 10), ('ai.response.toolCalls', 'called', 10),
    ('episode.step.tokens.input', 'input', 5), ('gen_ai.usage.input_tokens', 'input', 10), ('gen_ai.usage.prompt_tokens',
        'input', 20),
    ('gen_ai.aggregated_usage.input_tokens', 'input', 30), ('llm.token_count.prompt', 'input', 40), ('input_tokens', 'input', 50),
    ('langfuse.observation.usage_details/input', 'input', 60), ('ai.usage.inputTokens', 'input', 70),
    ('ai.usage.promptTokens', 'input', 71), ('genkit:metadata:usage/inputTokens', 'input', 80),
    ('mlflow.chat.tokenUsage/input_tokens', 'input', 81),
    ('*.usage.input_tokens', 'input', 90), ('*.usage.prompt_tokens', 'input', 91), ('*.usage.inputTokens', 'input', 92),
    ('*.usage.promptTokens', 'input', 93), ('*.usage.output_tokens', 'output', 90), ('*.usage.completion_tokens', 'output', 91),
    ('*.usage.outputTokens', 'output', 92), ('*.usage.completionTokens', 'output', 93),
    ('episode.step.tokens.output', 'output', 5), ('gen_ai.usage.output_tokens', 'output', 10),
    ('gen_ai.usage.completion_tokens', 'output', 20), ('gen_ai.aggregated_usage.output_tokens', 'output', 30),
    ('llm.token_count.completion', 'output', 40), ('output_tokens', 'output', 50),
    ('langfuse.observation.usage_details/output', 'output', 60), ('ai.usage.outputTokens', 'output', 70),
    ('ai.usage.completionTokens', 'output', 71), ('mlflow.chat.tokenUsage/output_tokens', 'output', 81),
    ('gen_ai.usage.cache_read.input_tokens', 'cache read', 10), ('gen_ai.usage.cache_read_input_tokens', 'cache read', 20),
    ('llm.token_count.prompt_details.cache_read', 'cache read', 30), ('ai.usage.cachedInputTokens', 'cache read', 40),
    ('gen_ai.usage.cache_creation.input_tokens', 'cache write', 10), ('gen_ai.usage.cache_write.input_tokens', 'cache write', 11),
    ('gen_ai.usage.cache_creation_input_tokens', 'cache write', 20), ('gen_ai.usage.cache_write_input_tokens', 'cache write', 21),
    ('llm.token_count.prompt_details.cache_write', 'cache write', 30),
    ('gen_ai.usage.reasoning.output_tokens', 'reasoning', 10), ('llm.token_count.completion_details.reasoning', 'reasoning', 30),
    ('ai.usage.reasoningTokens', 'reasoning', 40);
