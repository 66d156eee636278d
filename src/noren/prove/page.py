"""The report of a trial as one HTML page that needs nothing else: no script, no font, no request.

Written by `noren prove --html FILE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from string import Template

from noren.prove.latency import Percentiles
from noren.prove.plot import COLOURS, Plot
from noren.prove.report import SHOWN, Report

_TEMPLATE = Template(resources.files("noren.prove").joinpath("page.html").read_text())


def page(report: Report) -> str:
    """The page."""
    plot = Plot(report.tally, report.windows)
    summary = report.proof.summary
    return _TEMPLATE.substitute(
        title=escape(f"{report.app}: {report.lost} lost in {summary.requests:,} requests"),
        verdict="good" if report.good else "bad",
        app=escape(report.app),
        lost=f"{report.lost:,}",
        requests=f"{summary.requests:,}",
        rollouts=len(report.windows),
        kept=sum(window.outcome == "kept" for window in report.windows),
        once=_once(report),
        seed=summary.seed,
        plot_requests=plot.requests(),
        plot_percentiles=plot.percentiles(),
        legend="".join(_key(number, name) for number, name in enumerate(plot.releases)),
        latencies=_table(("", "p50", "p99", "longest", "requests"), _latencies(report)),
        rollout_rows=_table(("rollout", "release", "outcome", "seconds", "requests", "failed"), _rollouts(report)),
        loads=_table(("load", "requests", "lost", "per second", "p50", "p99", "generator late, p99"), _loads(report)),
        losses=_losses(report),
        proxy=_proxy(report),
    )


def _once(report: Report) -> str:
    once = report.proof.once
    return "" if once is None else f"{once.orders - once.broken:,} of {once.orders:,}"


def _key(number: int, name: str) -> str:
    words = escape("no release named" if name == "-" else name)
    return f'<li><i class="r{number % COLOURS}"></i>{words}</li>'


def _latencies(report: Report) -> Iterator[Sequence[str]]:
    parts = report.latencies
    yield from (
        ("while nothing is rolled out", *_cells(parts.before)),
        ("in a rollout, before the switch", *_cells(parts.during)),
        ("in a rollout, after the switch", *_cells(parts.after)),
    )


def _cells(part: Percentiles) -> tuple[str, ...]:
    return f"{part.p50:.1f} ms", f"{part.p99:.1f} ms", f"{part.max:.1f} ms", f"{part.samples:,}"


def _rollouts(report: Report) -> Iterator[Sequence[str]]:
    for receipt, window in zip(report.receipts, report.windows, strict=True):
        requests = receipt["requests"] or {"total": "-", "failed": "-"}
        numbers = (str(window.rollout), f"{window.before or '-'} → {window.release}", window.outcome)
        yield *numbers, f"{window.end - window.begin:.1f}", str(requests["total"]), str(requests["failed"])


def _loads(report: Report) -> Iterator[Sequence[str]]:
    for load in report.proof.summary.loads:
        counts = (load.load, f"{load.requests:,}", str(load.lost), f"{load.rate:.0f}")
        yield *counts, f"{load.latency.p50:.1f} ms", f"{load.latency.p99:.1f} ms", f"{load.late.p99:.1f} ms"


def _losses(report: Report) -> str:
    problems = [f"<li>{escape(problem)}</li>" for problem in report.problems]
    causes = [f"<li><b>{number}</b> {escape(words)}</li>" for words, number in report.causes]
    rows = [(phase or "between rollouts", str(record)) for record, phase in report.losses[:SHOWN]]
    if not (problems or causes or rows or report.lost):
        return "<p>None.</p>"
    lists = f"<ul>{''.join(problems)}</ul>" if problems else ""
    return lists + (
        f"<p>Likely causes:</p><ul>{''.join(causes)}</ul>{_table(('phase', 'request'), rows)}" if rows else ""
    )


def _proxy(report: Report) -> str:
    if report.counted is None:
        return "No proxy of Noren carries the traffic of this app."
    counted = report.counted
    return escape(
        f"In rollouts the client asked {report.seen:,} times; the proxy counted {counted['total']:,} requests,"
        f" {counted['failed']:,} failed, {counted['retried']:,} retried."
    )


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
