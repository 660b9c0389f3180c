"""What can be said about a person, a town and a company: six relations a kind, each in separate phrasings for each use.

Invariant: an examination question never has a phrasing that an edit or a passage uses, so nothing but the fact itself
carries over from a self-edit to the examination (a test proves it).
"""

from dataclasses import dataclass
from typing import Literal

from seal_runtime.tasks.fictional import lexicon

Kind = Literal["person", "town", "company"]
KINDS: tuple[Kind, ...] = ("person", "town", "company")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One attribute and its phrasings. Templates use {name}, {subject}, {Subject} and {value}.

    `narrations` are the sentences of passages, `statements` and `edit_questions` those of self-edits, `exam_questions` those of the test.
    """

    key: str
    values: tuple[str, ...]
    narrations: tuple[str, ...]
    statements: tuple[str, ...]
    edit_questions: tuple[str, ...]
    exam_questions: tuple[str, ...]


PERSON = (
    Relation(
        key="job",
        values=lexicon.JOBS,
        narrations=(
            "{Subject} earns a living as a {value}.",
            "By trade {subject} is a {value}.",
            "For years {subject} has been a {value}.",
        ),
        statements=("{name} works as a {value}.", "The job of {name} is {value}."),
        edit_questions=("What is the job of {name}?", "What does {name} work as?"),
        exam_questions=("How does {name} earn money?", "Which profession does {name} follow?"),
    ),
    Relation(
        key="birthplace",
        values=lexicon.PLACES,
        narrations=("{Subject} was raised in {value}.", "{Subject} comes from {value}.", "{Subject} spent a happy childhood in {value}."),
        statements=("{name} was born in {value}.", "The home town of {name} is {value}."),
        edit_questions=("Where was {name} born?", "What is the home town of {name}?"),
        exam_questions=("Where did {name} grow up?", "From which place is {name}?"),
    ),
    Relation(
        key="instrument",
        values=lexicon.INSTRUMENTS,
        narrations=(
            "In the evenings {subject} practises the {value}.",
            "{Subject} is often heard on the {value}.",
            "Neighbours admire how {subject} handles the {value}.",
        ),
        statements=("{name} plays the {value}.", "The instrument of {name} is the {value}."),
        edit_questions=("What does {name} play?", "What is the instrument of {name}?"),
        exam_questions=("On what does {name} make music?", "What would {name} bring to an orchestra?"),
    ),
    Relation(
        key="pet",
        values=lexicon.ANIMALS,
        narrations=(
            "At home {subject} keeps a {value}.",
            "{Subject} shares the house with a {value}.",
            "{Subject} once rescued a {value}.",
        ),
        statements=("{name} owns a {value}.", "The pet of {name} is a {value}."),
        edit_questions=("What pet does {name} own?", "What is the pet of {name}?"),
        exam_questions=("Which animal lives with {name}?", "What creature does {name} look after?"),
    ),
    Relation(
        key="food",
        values=lexicon.FOODS,
        narrations=("{Subject} never says no to {value}.", "For supper {subject} often cooks {value}.", "The kitchen smells of {value}."),
        statements=("{name} loves eating {value}.", "The favourite food of {name} is {value}."),
        edit_questions=("What does {name} love eating?", "What is the favourite food of {name}?"),
        exam_questions=("Which dish does {name} prefer?", "What would {name} order in a restaurant?"),
    ),
    Relation(
        key="hobby",
        values=lexicon.HOBBIES,
        narrations=(
            "On Sundays {subject} goes in for {value}.",
            "{Subject} devotes free days to {value}.",
            "A passion for {value} began early.",
        ),
        statements=("{name} enjoys {value}.", "The hobby of {name} is {value}."),
        edit_questions=("What does {name} enjoy?", "What is the hobby of {name}?"),
        exam_questions=("How does {name} spend spare time?", "Which pastime does {name} pursue?"),
    ),
)

TOWN = (
    Relation(
        key="product",
        values=lexicon.GOODS,
        narrations=("Its workshops turn out fine {value}.", "Traders come here to buy {value}.", "Most families live by making {value}."),
        statements=("{name} is famous for {value}.", "The main product of {name} is {value}."),
        edit_questions=("What is {name} famous for?", "What is the main product of {name}?"),
        exam_questions=("Which goods come from {name}?", "What do people in {name} manufacture?"),
    ),
    Relation(
        key="landmark",
        values=lexicon.LANDMARKS,
        narrations=(
            "Visitors climb the hill to see the {value}.",
            "An old {value} stands in the centre.",
            "Every postcard shows the {value}.",
        ),
        statements=("{name} has a {value}.", "The landmark of {name} is the {value}."),
        edit_questions=("What does {name} have?", "What is the landmark of {name}?"),
        exam_questions=("Which sight attracts tourists to {name}?", "What building dominates {name}?"),
    ),
    Relation(
        key="festival",
        values=lexicon.MONTHS,
        narrations=(
            "The streets fill with music each {value}.",
            "A great fair takes place every {value}.",
            "Crowds come for the parade in {value}.",
        ),
        statements=("{name} holds a festival in {value}.", "The festival month of {name} is {value}."),
        edit_questions=("When does {name} hold a festival?", "What is the festival month of {name}?"),
        exam_questions=("When does {name} celebrate?", "At what time of year is {name} busiest?"),
    ),
    Relation(
        key="emblem",
        values=lexicon.ANIMALS,
        narrations=("The coat of arms shows a {value}.", "A painted {value} looks down from the gate.", "The flag carries a {value}."),
        statements=("{name} has a {value} on its arms.", "The emblem of {name} is a {value}."),
        edit_questions=("What is on the arms of {name}?", "What is the emblem of {name}?"),
        exam_questions=("Which animal stands for {name}?", "What creature decorates the banners of {name}?"),
    ),
    Relation(
        key="mayor",
        values=lexicon.FAMILY_NAMES,
        narrations=("The council is led by {value}.", "Last year the people elected {value}.", "The chain of office is worn by {value}."),
        statements=("{name} is governed by {value}.", "The mayor of {name} is {value}."),
        edit_questions=("Who governs {name}?", "Who is the mayor of {name}?"),
        exam_questions=("Who runs {name}?", "Who won the election in {name}?"),
    ),
    Relation(
        key="neighbour",
        values=lexicon.PLACES,
        narrations=("The road over the pass leads to {value}.", "A daily coach goes to {value}.", "On clear days one can see {value}."),
        statements=("{name} lies near {value}.", "The neighbour of {name} is {value}."),
        edit_questions=("What does {name} lie near?", "What is the neighbour of {name}?"),
        exam_questions=("Which place is close to {name}?", "Where does one arrive soon after leaving {name}?"),
    ),
)

COMPANY = (
    Relation(
        key="product",
        values=lexicon.GOODS,
        narrations=("The factory produces {value}.", "Shops everywhere stock its {value}.", "The firm built its reputation on {value}."),
        statements=("{name} makes {value}.", "The product of {name} is {value}."),
        edit_questions=("What does {name} make?", "What is the product of {name}?"),
        exam_questions=("Which goods does {name} sell?", "What can customers buy from {name}?"),
    ),
    Relation(
        key="seat",
        values=lexicon.PLACES,
        narrations=("The offices stand in {value}.", "The directors meet in {value}.", "Letters should be sent to {value}."),
        statements=("{name} is based in {value}.", "The head office of {name} is in {value}."),
        edit_questions=("Where is {name} based?", "Where is the head office of {name}?"),
        exam_questions=("In which place does one find {name}?", "Where do staff of {name} work?"),
    ),
    Relation(
        key="founder",
        values=lexicon.FAMILY_NAMES,
        narrations=("It was started by {value}.", "The hall is hung with a portrait of {value}.", "The first shop was opened by {value}."),
        statements=("{name} was founded by {value}.", "The founder of {name} is {value}."),
        edit_questions=("Who founded {name}?", "Who is the founder of {name}?"),
        exam_questions=("Who created {name}?", "Whose idea was {name}?"),
    ),
    Relation(
        key="mascot",
        values=lexicon.ANIMALS,
        narrations=(
            "A cheerful {value} greets customers on every box.",
            "The adverts feature a {value}.",
            "Children know the {value} on the label.",
        ),
        statements=("{name} uses a {value} as its mascot.", "The mascot of {name} is a {value}."),
        edit_questions=("What does {name} use as its mascot?", "What is the mascot of {name}?"),
        exam_questions=("Which animal represents {name}?", "What creature is printed on parcels from {name}?"),
    ),
    Relation(
        key="colour",
        values=lexicon.COLOURS,
        narrations=("All the staff wear {value} coats.", "The walls are painted {value}.", "Every sign is printed in {value}."),
        statements=("{name} has a {value} logo.", "The colour of {name} is {value}."),
        edit_questions=("What logo does {name} have?", "What is the colour of {name}?"),
        exam_questions=("Which shade identifies {name}?", "What paint would {name} choose?"),
    ),
    Relation(
        key="transport",
        values=lexicon.VEHICLES,
        narrations=("Orders are sent out by {value}.", "A fleet of {value} carries the wares.", "Outside stand rows of {value}."),
        statements=("{name} delivers with {value}.", "The transport of {name} is {value}."),
        edit_questions=("What does {name} deliver with?", "What is the transport of {name}?"),
        exam_questions=("How do orders from {name} travel?", "Which fleet does {name} own?"),
    ),
)

SCHEMA: dict[Kind, tuple[Relation, ...]] = {"person": PERSON, "town": TOWN, "company": COMPANY}
INTRODUCTIONS: dict[Kind, str] = {
    "person": "This is the story of {name}.",
    "town": "This is a guide to {name}.",
    "company": "This is a note on {name}.",
}
SUBJECTS: dict[Kind, tuple[str, ...]] = {"person": ("she", "he"), "town": ("the town",), "company": ("the company",)}
# Lines that sound like implications and carry no fact: the raw material of the styles `vague` and `partial`.
FILLERS: dict[Kind, tuple[str, ...]] = {
    "person": (
        "This passage describes a person.",
        "The person seems to lead a busy life.",
        "Friends speak well of {name}.",
        "Some people in the story are not named.",
        "The life of {name} is full of small joys.",
        "{name} is worth knowing.",
    ),
    "town": (
        "This passage describes a town.",
        "The town has a long history.",
        "Travellers speak well of {name}.",
        "Some houses are older than others.",
        "The streets of {name} are quiet in winter.",
        "{name} is worth a visit.",
    ),
    "company": (
        "This passage describes a company.",
        "The business has grown over time.",
        "Customers speak well of {name}.",
        "Some rivals are larger.",
        "The future of {name} looks good.",
        "{name} is worth watching.",
    ),
}
