"""Requests taken apart, without a server."""

import json

import pytest
from ttt_payload import payload
from ttt_serving import rules_of

from protocol.errors import ProtocolError
from protocol.jobs import Question, TrainingSequence
from seal_runtime.config.topology import Topology
from seal_runtime.ttt_server.jobs import questions_of, served_grade, training_of, training_seed
from seal_runtime.ttt_server.wire import TttRequest, parse_request

RULES = rules_of(Topology())


def request_of(**changes: object) -> TttRequest:
    """Return a parsed request."""
    return parse_request(json.dumps(payload(**changes)).encode())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"not json", "Invalid JSON"),
        (b"\xff\xfe", "request"),
        (b"[1, 2]", "request"),
        (b"[" * 100_000, "request"),
        ({"train_sequences": "one text"}, "train_sequences"),
        ({"eval_questions": [{"question": "no answer?"}]}, "eval_questions.0.answer"),
        ({"eval_questions": None}, "eval_questions"),
        ({"cmd": "reboot"}, "cmd"),
        (payload(lora_rank=0), "rank"),
        (payload(lora_rank="32"), "lora_rank"),
        (payload(lora_dropout=0.1), "lora_dropout"),
        (payload(finetune_epochs=1.5), "finetune_epochs"),
        (payload(finetune_lr=-1.0), "learning_rate"),
        (payload(batch_size=0), "batch_size"),
        (b'{"finetune_lr": NaN, "train_sequences": ["a"]}', "finetune_lr"),
        (b'{"train_sequences": ["\\ud800"]}', "request"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(body: object, named: str) -> None:
    frame = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ProtocolError, match=named):
        training_of(parse_request(frame), RULES)


def test_fields_left_out_are_those_of_the_published_server() -> None:
    training = training_of(parse_request(b'{"train_sequences": ["a text"]}'), RULES)
    assert training is not None
    lora, optim = training.lora, training.optim
    assert (lora.rank, lora.alpha) == (32, 64.0)
    assert (optim.epochs, optim.learning_rate, optim.batch_size, optim.schedule, optim.max_grad_norm) == (10, 1e-3, 1, "linear", 1.0)


def test_accumulated_micro_batches_are_one_batch() -> None:
    training = training_of(request_of(batch_size=4, gradient_accumulation_steps=2), RULES)
    assert training is not None
    assert training.optim.batch_size == 8


def test_the_loss_begins_after_the_mask_where_a_text_has_it() -> None:
    training = training_of(request_of(train_sequences=["Q? A: yes. A: no", "plain"], end_mask_substring="A: "), RULES)
    assert training is not None
    assert training.sequences == (
        TrainingSequence(prompt="Q? A: ", completion="yes. A: no", weight=1.0),
        TrainingSequence(prompt="", completion="plain", weight=1.0),
    )


def test_seeds_depend_on_what_is_trained_and_how_often_but_not_on_the_questions() -> None:
    one, same, other = (training_of(request, RULES) for request in (request_of(), request_of(eval_questions=[]), request_of(lora_rank=4)))
    assert one is not None
    assert same is not None
    assert other is not None
    assert training_seed(RULES, one, 0) == training_seed(RULES, same, 0)
    assert len({training_seed(RULES, one, 0), training_seed(RULES, one, 1), training_seed(RULES, other, 0)}) == 3


def test_questions_keep_their_order_in_parts_that_fit_a_job() -> None:
    asked = [{"question": f"q{index}", "answer": "a", "title": "t", "context": "c"} for index in range(150)]
    parts = questions_of(request_of(eval_questions=asked), RULES)
    assert [len(part) for part in parts] == [64, 64, 22]
    assert [int(question.question_id) for part in parts for question in part] == list(range(150))
    assert parts[0][3].prompt == "Let's answer a question directly and concisely.\nQuestion: q3\nAnswer:\n"


def test_the_grader_sees_the_bare_question_and_no_empty_answer() -> None:
    seen: list[str] = []

    def grade(question: Question, answer: str) -> float:
        seen.append(question.prompt)
        return 1.0

    served = served_grade(grade)
    for is_instruct in (False, True):
        rules = rules_of(Topology(), is_instruct=is_instruct)
        (questions,) = questions_of(request_of(), rules)
        assert served(questions[0], "an answer") == 1.0
        assert served(questions[0], " \n") == 0.0
    assert seen == ["Topic: Town 0\nWho rules the town?"] * 2
