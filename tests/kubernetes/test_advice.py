"""`noren check` says what would lose requests in a Deployment, and the command that it names mends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.upgraded import SETTINGS, TAG, badly_configured, outcome, pushed, upgraded
from tests.kubernetes.workload import Namespace
from tests.proofs.claim import claim


def checked(folder: Path, here: Namespace) -> list[str]:
    """The comments below the settings."""
    source = TAG.format(registry=REGISTRY, image=here.name)
    file = folder / "checked.toml"
    text = SETTINGS.format(source=source, namespace=here.name, more="", poll=1.0, deadline=20.0)
    file.write_text(text.replace("{port}", "8080"))
    argv = [sys.executable, "-m", "noren.main", "-c", str(file), "check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    return [line.removeprefix("# ") for line in done.stdout.splitlines() if line.startswith("# ")][1:]


@pytest.mark.timeout(180)
def test_check_lists_the_risks_and_the_command_that_mends_them(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("advised", 30082) as here:
        first, *risks, command, unseen, _ = checked(tmp_path, here)
        assert "would lose requests in an upgrade; it is refused until it is mended" in first
        fields = [risk.split()[0] for risk in risks]
        assert fields == ["strategy.rollingUpdate.maxUnavailable", "site.readinessProbe", "site.lifecycle.preStop"]
        with upgraded(tmp_path, here, more="") as noren:
            refused = noren.until(
                lambda: [e["text"] for e in noren.client.events("site", 0) if "would lose requests" in e["text"]],
                "told",
            )
            assert "repair = true" in refused[0]
            subprocess.run(command, shell=True, check=True, timeout=30)
            here.rolled_out("site")
            assert checked(tmp_path, here)[0] == unseen
            assert outcome(noren, pushed("advised", version="1"))["outcome"] == "kept"
        claim("noren check", f"{len(risks)} risks told and mended by the command that it named")
