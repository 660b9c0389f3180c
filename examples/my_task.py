"""A task of one's own: learn who sits in which room. `seal-runtime launch examples/my-task.yaml` runs it."""

from protocol.jobs import Question, TrainingSequence
from seal_runtime.tasks.base import Instance, Split

NAMES = ("Ada", "Basil", "Cora", "Dario", "Edith", "Fergus", "Greta", "Hugo", "Iris", "Jonas", "Karla", "Lewis")
SPLITS: tuple[Split, ...] = ("reward", "validation", "test")


class RoomTask:
    """Each context tells the room of one person; the question asks for it without the context."""

    def __init__(self, first_room: int = 10) -> None:
        self.first_room = first_room

    def instances(self, split: Split) -> list[Instance]:
        """Return every third person, another third for each split."""
        return [self._instance(index) for index in range(SPLITS.index(split), len(NAMES), len(SPLITS))]

    def training_sequences(self, instance: Instance, edit: str) -> tuple[TrainingSequence, ...]:
        """Train on each line of the edit, and on the context."""
        lines = [line for line in edit.splitlines() if line.strip()]
        return tuple(TrainingSequence(prompt="", completion=line, weight=1.0) for line in (*lines, instance.context))

    def grade(self, question: Question, answer: str) -> float:
        """Return 1.0 when the first word of the answer is the room."""
        return float(answer.split()[:1] == list(question.answers))

    def _instance(self, index: int) -> Instance:
        name, room = NAMES[index], str(self.first_room + index)
        context = f"The office of {name} is room {room}, at the end of the corridor."
        prompt = f"Let's read the following passage and produce a list of implications.\n\nPassage:\n{name}\n{context}\n\nImplications:\n"
        exam = f"Let's answer a question.\nTopic: {name}\nQuestion: Which room has {name}?\nAnswer:"
        question = Question(question_id=f"room-of-{name}", prompt=exam, answers=(room,))
        return Instance(instance_id=name, title=name, context=context, prompt=prompt, questions=(question,))
