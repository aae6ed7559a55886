"""Writes every generated file anew; `--check` writes nothing and fails when one is out of date.

- `crds/chatbotdeployments.chatbot.dev.yaml`: the custom resource definition, from the operator's models
- `charts/chatbot-operator/files/chatbotdeployments.chatbot.dev.yaml`: the same bytes, because a chart cannot read files outside its folder
- `charts/*/Chart.yaml`, `examples/simulator.yaml`, the distributions' `*/pyproject.toml`: their versions, from VERSION
- `deploy/flux/chatbots.yaml`, the tag of the charts: from VERSION
- `charts/chatbot/values.schema.json` and the fields of the spec in `charts/chatbot/values.yaml`: from the operator's models
- `charts/*/README.md`, their tables of values: from the comments of each `values.yaml`, and from the models
- `.env.example`: the service's variables, from its settings
- `deploy/k8s-deployment.yaml`: a chatbot without the operator, from what the operator would make
- `charts/chatbot-operator/files/rules.yaml`, the burn-rate alerts and their ratios: from the objectives in scripts/burn_rates.py
- `docs/resource.md` and `docs/configuration.md`: from the operator's models and the service's settings
"""

import re
import sys
from pathlib import Path

from chatbot_operator.crd import render_crd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run by its path, this file alone would be found

from scripts.burn_rates import RULES, render_rules  # noqa: E402
from scripts.chart_values import chart_files  # noqa: E402
from scripts.configuration_reference import render_configuration_page  # noqa: E402
from scripts.env_example import render_env_example  # noqa: E402
from scripts.plain_manifest import render_plain_manifest  # noqa: E402
from scripts.resource_reference import render_resource_page  # noqa: E402

CHARTS = Path("charts")
CHART = CHARTS / "chatbot-operator"
CHATBOT_CHART = CHARTS / "chatbot"
SIMULATOR = Path("examples/simulator.yaml")
FLUX = Path("deploy/flux/chatbots.yaml")
DISTRIBUTIONS = (Path("operator"), Path("service"), Path("simulator"))
CRD_FILE = "chatbotdeployments.chatbot.dev.yaml"


def generated_files(root: Path = ROOT) -> dict[Path, str]:
    """Return what every generated file should hold, by its path below the root."""
    crd = render_crd()
    version = (root / "VERSION").read_text(encoding="utf-8").strip()
    return {
        Path("crds") / CRD_FILE: crd,
        CHART / "files" / CRD_FILE: crd,
        **{
            chart / "Chart.yaml": _substituted(root / chart / "Chart.yaml", r"^((?:v|appV)ersion: ).*$", version)
            for chart in (CHART, CHATBOT_CHART)
        },
        **{
            path / "pyproject.toml": _substituted(root / path / "pyproject.toml", r'^(version = ")[^"]+', version) for path in DISTRIBUTIONS
        },
        **{CHARTS / path: content for path, content in chart_files(root / CHARTS).items()},
        RULES: render_rules((root / RULES).read_text(encoding="utf-8")),
        SIMULATOR: _substituted(root / SIMULATOR, r"^( +image: anthropic-simulator:).*$", version),
        FLUX: _substituted(root / FLUX, r"^( +tag: v).*$", version),
        Path(".env.example"): render_env_example(),
        Path("deploy/k8s-deployment.yaml"): render_plain_manifest(version),
        Path("docs/resource.md"): render_resource_page(),
        Path("docs/configuration.md"): render_configuration_page(),
    }


def _substituted(file: Path, pattern: str, version: str) -> str:
    """Return the file's text with `version` after what the pattern's group matches."""
    return re.sub(pattern, rf"\g<1>{version}", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def stale_files(root: Path = ROOT) -> dict[Path, str]:
    """Return what the generated files should hold that are missing or hold something else."""
    return {
        path: content
        for path, content in generated_files(root).items()
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != content
    }


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    stale = stale_files()
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path} is out of date: run make generate", file=sys.stderr)
        return 1 if stale else 0
    if arguments:
        print("usage: generate.py [--check]", file=sys.stderr)
        return 2
    for path, content in stale.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(content, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
