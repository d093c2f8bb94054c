"""Traces: what an application did for a request, span by span, how it was judged, and how traces are found.

A trace is known by the id that its maker gave it. Its row is small and lies in the index; its spans are bytes in blobs, which go when the
trace is deleted and the collector finds that nothing refers to them.
"""
