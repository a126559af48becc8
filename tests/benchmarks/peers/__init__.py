"""One small server process for each way of doing the same work that the benchmarks compare with.
What they are measured with is not here but in the load modules beside this folder.
"""
