"""The learning core: networks, methods, exemplar memory, training, evaluation. PyTorch only.

A learning step is a function: (version state, images, options, seed) → new state + metrics.
`models.learner.learn` is that function and `models.serving.load_servable` turns a state into
predictions; neither knows of HTTP, jobs, databases or files of the service.
"""
