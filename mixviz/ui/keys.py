"""Names of session state and of query parameters: a link with the latter reproduces a view."""

RUN = "run"  # query: the run that is shown
COMPARED = "with"  # query: the runs beside it in Replay
STEP = "step"  # query: the step that Replay shows
COLOUR = "colour"  # query: what the points are coloured by
PLAYING = "playing"
REWIND = "rewind"
DATASET = "dataset"
MODEL = "model"
PRESET = "preset"
HISTORY = "history"
EXTENT = "extent"
GONE = "gone"
SETTING = "setting."  # + model + field
LIVE = "live."  # + run + field
