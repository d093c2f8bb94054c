"""Entities: small objects that a dialect keeps beside projects, with parts of which there may be many.

Scorers, sets of evaluation records, label schemas, queues of reviews and issues are such. What their fields mean is the dialect's; who
may see and change them, that names are unique where they must be, and that no change is lost between two who make one, is said here.
"""
