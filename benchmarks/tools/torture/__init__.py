"""Campaigns that kill runs, damage files, bring hostile plug-ins and fuzz inputs.

`python -m benchmarks.tools.torture kill|damage|plugins|fuzz`. Each campaign is a module with a
function `campaign`; open `campaign.py` first. They start `run_benchmarks.py` as a user does and
judge what it leaves, with readers of their own. `docs/reliability.md` has the figures.
"""
