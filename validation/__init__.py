"""One module a claim: each has ``run(smoke) -> dict | list[dict]`` and may have ``draw(records, directory)``.

A record says ``claim``, ``expected``, ``measured``, ``passed``, and may carry ``data`` from which its figure is drawn.
``python -m validation`` runs them all.
"""
