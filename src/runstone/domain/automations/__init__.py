"""Automations: what is done by itself when something happens to a run, a version or a collection.

:mod:`lifecycle` makes, changes and lists them; :mod:`firing` says which of them an event sets off, by :mod:`conditions` on what the event
is about and :mod:`metrics` on what a run logs. A webhook channel words what they do.
"""
