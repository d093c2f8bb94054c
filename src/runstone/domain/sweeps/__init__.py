"""Sweeps: searches over parameters, whose runs are started by agents.

:mod:`config` says what a sweep's configuration may hold, :mod:`spaces` and :mod:`bayes` choose the next parameters, :mod:`stopping`
ends runs that fall behind, :mod:`lifecycle` makes, changes and reads sweeps, and :mod:`agents` answers what agents ask.
"""
