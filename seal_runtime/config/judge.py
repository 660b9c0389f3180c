"""The model that grades answers (`task.grader: judge`): where it is, how often it is asked, and what it costs."""

from pydantic import Field

from seal_runtime.config.section import Section


class JudgeConfig(Section):
    """A language model behind an OpenAI-compatible chat endpoint. Read only with `task.grader: judge`."""

    base_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address of the API, up to and with `/v1`. null: the environment's OPENAI_BASE_URL, else https://api.openai.com/v1."""
    model: str = Field(default="gpt-4.1", min_length=1)
    """Name of the model as the endpoint knows it. The paper's is GPT-4.1."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key, on every host with an evaluator. The key itself never stands in a topology. A server that
    wants no key needs none."""
    temperature: float | None = Field(default=0.0, ge=0.0, le=2.0)
    """Sent with each request; null sends none (some models take no other than their own, and the published runs sent none)."""
    max_concurrent: int = Field(default=16, ge=1, le=1024)
    """Requests at once from each evaluator process; as many answers are graded at once."""
    timeout_seconds: float = Field(default=60.0, gt=0.0)
    """Longest time for one request. Then it counts as failed and is tried again."""
    max_retries: int = Field(default=5, ge=0, le=100)
    """Further tries after a failure that may pass (no connection, time out, 408, 409, 429, 5xx, a reply without a verdict). After them the
    job fails and is tried again later, up to `limits.max_attempts`; an outage never becomes a grade."""
    backoff_seconds: float = Field(default=1.0, gt=0.0, le=60.0)
    """Pause before the first further try; it doubles with each, up to 60 s. A longer Retry-After of the server is kept to, up to 60 s."""
    cache: bool = True
    """Keep verdicts on disk and never pay twice for the same question, gold answer, answer and model."""
    cache_dir: str | None = None
    """Folder of the verdicts; null: `seal-runtime/judge` in the user's cache folder (XDG_CACHE_HOME or ~/.cache)."""
    usd_per_million_input_tokens: float = Field(default=0.0, ge=0.0)
    """Price of a million prompt tokens in US dollars, to count the cost."""
    usd_per_million_output_tokens: float = Field(default=0.0, ge=0.0)
    """Price of a million generated tokens in US dollars, to count the cost."""
