"""`persona-judge eval`: methods compared, by the paper's protocol; one command a stage."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from persona_judge_llm.cli import evaluation_options as own
from persona_judge_llm.cli import options
from persona_judge_llm.cli.evaluation_screen import progress_shown
from persona_judge_llm.cli.opening import opened_engine
from persona_judge_llm.cli.screen import visible, write_json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Compare ways to answer in a user's taste: generate, then score and judge, then report."""


@app.command(
    epilog=options.example(
        "eval generate --prompts koala_eval_50.json --set psoups --out runs/bundled",
        "eval generate --model Qwen/Qwen2.5-0.5B-Instruct --prompts hub:nvidia/HelpSteer2 "
        "--set helpsteer2 --pairs table4 --out runs/qwen",
        "eval generate --prompts mine.txt --pairs 'Humor|Correct' --methods direct,alternate "
        "--lambda 1,2,3,4,5,6 --out runs/lambda",
    )
)
def generate(  # noqa: PLR0913 - every option is an argument
    *,
    prompts: own.Prompts,
    out: own.Out,
    prompt_set: own.PromptSet = "lines",
    n: own.Number = None,
    methods: own.Methods = "plain,direct,fixed,alternate",
    systems: own.Systems = None,
    pairs: own.Pairs = "paper",
    dimensions: own.Dimensions = None,
    lambdas: own.Lambdas = "4",
    mode: own.Mode = "fixed",
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: own.Seed = 0,
    batch: own.Batch = 1,
    model: options.Model = None,
) -> None:
    """Answer every prompt under every pairing with every method, one line of JSON an answer.

    Run it again after a kill: it goes on where it was. All methods share a prompt's seed.
    """
    from persona_judge_llm.evaluation.dimensions import DIMENSIONS, read_dimensions
    from persona_judge_llm.evaluation.pairings import pairings
    from persona_judge_llm.evaluation.prompt_sets import read_prompts

    questions = read_prompts(prompt_set, prompts, n)
    typer.echo(f"{len(questions)} prompts of {prompt_set}", err=True)
    words = DIMENSIONS if dimensions is None else read_dimensions(dimensions)
    chosen = pairings(pairs, words)
    specs = {} if systems is None else own.read_systems(systems)
    windows = own.numbers("lambda", lambdas)
    with opened_engine(model) as engine:
        from persona_judge_llm.evaluation.experiments import Experiment
        from persona_judge_llm.evaluation.runs import engine_methods, run

        experiment = Experiment(
            model=engine.model_name,
            prompt_set=prompt_set,
            questions=tuple(questions),
            pairings=tuple(chosen),
            methods=(*own.words(methods), *specs),
            lambdas=windows,
            mode=mode,
            params=own.sampling(temperature, top_k, top_p, max_new_tokens),
            seed=seed,
            systems=specs,
        )
        opened = engine_methods(engine, experiment, batch=batch)
        with progress_shown("answers") as progress:
            written = run(experiment, Path(out), opened, progress=progress)
    typer.echo(f"{written} answers written to {out}", err=True)


@app.command(
    epilog=options.example(
        "eval score runs/qwen --reward armo:RLHFlow/ArmoRM-Llama3-8B-v0.1",
        "eval score runs/qwen --reward gpt2-helpful:./gpt2-large-helpful-reward_model",
        "eval score runs/qwen --reward tone=classifier:./my-classifier",
    )
)
def score(
    folders: own.Folders,
    *,
    reward: own.Rewards,
    trust_remote_code: own.TrustRemoteCode = False,
    device: own.Device = "auto",
) -> None:
    """Score the answers with reward models, each in the format that it was trained on."""
    from persona_judge_llm.evaluation.reward_specs import RewardSpec

    specs = [RewardSpec.of(text) for text in reward]
    own.check_folders(folders)
    from persona_judge_llm.evaluation.reward_models import RewardModel
    from persona_judge_llm.evaluation.scoring import score_run

    for spec in specs:
        loaded: list[RewardModel] = []

        def opened(spec: RewardSpec, loaded: list[RewardModel] = loaded) -> RewardModel:
            if not loaded:  # one model for all folders, and none where nothing is missing
                allowed = trust_remote_code
                loaded.append(RewardModel(spec, trust_remote_code=allowed, device=device))
            return loaded[0]

        for folder in folders:
            with progress_shown("scores") as progress:
                written = score_run(folder, spec, opened, progress=progress)
            typer.echo(f"{spec.name}: {written} answers of {folder} scored", err=True)


@app.command(
    epilog=options.example(
        "eval judge runs/qwen --url https://api.openai.com/v1 --judge gpt-4o",
        "eval judge runs/qwen --url http://127.0.0.1:8000/v1 --judge my-judge --concurrency 16",
    )
)
def judge(
    folders: own.Folders,
    *,
    url: own.Url,
    judge_model: own.JudgeModel,
    opponent: own.Opponent = "direct",
    methods: own.JudgedMethods = None,
    api_key_env: own.ApiKeyEnv = None,
    concurrency: own.Concurrency = 4,
    timeout: own.Timeout = 60.0,
    retries: own.Retries = 6,
    judge_temperature: own.JudgeTemperature = 0.0,
    judge_max_tokens: own.JudgeMaxTokens = 8,
) -> None:
    """Let a language model compare each method with an opponent, both answers in both places.

    Asks about every aspect of a pairing. Verdicts are kept as they come; run it again to go on.
    """
    from persona_judge_llm.evaluation.judge_endpoint import (
        JudgeEndpoint,
        JudgeSettings,
        api_key,
    )
    from persona_judge_llm.evaluation.judgements import judge_run

    settings = JudgeSettings(
        url=url,
        model=judge_model,
        key=api_key(api_key_env),
        timeout=timeout,
        retries=retries,
        temperature=None if judge_temperature < 0 else judge_temperature,
        max_tokens=judge_max_tokens or None,
    )
    with JudgeEndpoint(settings) as endpoint:
        for folder in folders:
            with progress_shown("verdicts") as progress:
                written = judge_run(
                    folder,
                    endpoint.compare,
                    judge_model,
                    opponent=opponent,
                    methods=own.words(methods) if methods else None,
                    concurrency=concurrency,
                    progress=progress,
                )
            typer.echo(f"{written} verdicts on {folder}", err=True)


@app.command(
    epilog=options.example(
        "eval report runs/qwen", "eval report runs/qwen runs/tulu --out report --no-charts"
    )
)
def report(
    folders: own.Folders,
    *,
    out: own.ReportOut = None,
    charts: own.Charts = True,
    show: Annotated[
        Literal["markdown", "none"], typer.Option("--show", help="What is written to stdout.")
    ] = "markdown",
    as_json: options.Json = False,
) -> None:
    """Write the paper's Tables 1 to 5 beside yours: report.md, report.json, and charts."""
    from persona_judge_llm.evaluation.report import report as reported
    from persona_judge_llm.evaluation.report import write_report

    found = reported(folders)
    target = Path(out or folders[0])
    files = write_report(found, target)
    if charts:
        from persona_judge_llm.evaluation.charts import write_charts

        files += write_charts(found, target)
    if as_json:
        write_json(found.values())
    elif show == "markdown":
        typer.echo(visible(found.markdown()))
    typer.echo("written: " + ", ".join(str(file) for file in files), err=True)
