"""The learning core: networks, methods, exemplar memory, training, evaluation. PyTorch only.

A learning step is a function: (version state, images, options, seed) → new state + metrics.
`models.learner.learn` is that function, and `models.serving.load_servable` turns a state into a
module that predicts. Neither knows of HTTP, jobs, databases or the service's files.
"""
