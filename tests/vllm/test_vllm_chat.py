"""vLLM puts prompts into the chat template as the transformers engine does."""

import shutil

from seal_runtime.engines.base import AnswerRequest, Policy
from seal_runtime.engines.factory import make_generation_engine
from seal_runtime.engines.model_loading import load_model, resolve_model_path

TEMPLATE = "{% for message in messages %}Question: {{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"


def test_both_engines_answer_the_same_request_in_the_template(tmp_path, instances, drain):
    folder = tmp_path / "model"
    shutil.copytree(resolve_model_path("builtin:seal-tiny"), folder)
    tokenizer = load_model(str(folder)).tokenizer
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    prompts = (*(question.prompt for question in instances[0].questions), f"Who ends here?{tokenizer.eos_token}\nAnswer:")
    request = AnswerRequest(request_id="a", policy=Policy(version=0, adapters=()), adapter=None, prompts=prompts, max_new_tokens=4)
    answers = {}
    for engine, chat in (("transformers", False), ("transformers", True), ("vllm", True)):
        made = make_generation_engine(engine, model=str(folder), chat=chat, **({"mode": "in-process"} if engine == "vllm" else {}))
        answers[engine, chat] = drain(made, [request])["a"].token_ids
        made.close()
    assert answers["vllm", True] == answers["transformers", True]
    assert answers["transformers", True] != answers["transformers", False]
