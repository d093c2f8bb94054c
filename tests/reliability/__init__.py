"""What must hold of a store whatever happens to it: kills, power cuts, flipped bits, failing calls, backups.

``workload`` says what a store is made to do and keeps the ledger of what was acknowledged; ``embedded`` and ``over_http`` do it, in
the process or over a server; ``writer`` is the program that is killed; ``driven`` is one that does as it is told, one request at a
time. The faults come from ``tests/faults``. Sizes come from the environment:

=======================  =======  =======================================================
``RUNSTONE_KILLS``       200      SIGKILLs, of embedded writers and of servers
``RUNSTONE_POWER_CUTS``  50       simulated power cuts; needs root
``RUNSTONE_FLIPS``       1000     flipped bits, in packs and in the index
``RUNSTONE_STEPS``       50       steps of each run of the state machine
=======================  =======  =======================================================
"""
