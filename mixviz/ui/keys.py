"""Names of session state and of query parameters: a link with the latter reproduces a view."""

RUN = "run"  # query: the run that is shown
RUN_OF = "run.of."  # + page: the run that it showed last
LAST_START = "last.start"  # the plan that was started last, and when
STARTED = "started"  # a run that the next page shows, where the picker is drawn already
COMPARED = "with"  # query: the runs beside it in Replay
STEP = "step"  # query: the step that Replay shows
COLOUR = "colour"  # query: what the points are coloured by
PLAYING = "playing"
REWIND = "rewind"
DATASET = "dataset"
MODEL = "model"
PRESET = "preset"
EXTENT = "extent"
GONE = "gone"
SETTING = "setting."  # + model + field
LIVE = "live."  # + run + field
# Explore; those without the prefix are in the link
EXPLORE_DATASET = "on"
EXPLORE_PART = "part"
EXPLORE_METHOD = "map"
EXPLORE_DIMENSIONS = "dimensions"
EXPLORE_AXES = "axes"
EXPLORE_COLOUR = "by"
EXPLORE_SHOWN = "shown"  # overlays
EXPLORE_OTHER = "placed"  # another data set
EXPLORE_OUTLINE = "outline"  # what was drawn around, as corners x,y;x,y
EXPLORE_ROW = "point"
EXPLORE_LABELS = "labels"
EXPLORE_COMPONENTS = "components"
EXPLORE_ROWS = "rows"
EXPLORE_ERRORS = "errors"
EXPLORE_SETTINGS = "settings"  # of t-SNE or UMAP, as name:value,name:value
EXPLORE_SETTING = "explore.setting."  # + method + field
EXPLORE_SHEET = "explore.sheet"
EXPLORE_VIEW = "explore.view"
EXPLORE_DRAWN = "explore.drawn"  # counts outlines that did not come from the plot
EXPLORE_PAGE = "explore.page"
EXPLORE_TAB = "explore.tab"

# Clusters
GROUPS = "k"  # query: number of groups that the components are merged into
AFFINITY = "alike"  # query: by what components are alike
CELLS = "cells"  # query: counts or shares
CELL = "cell"  # query: chosen cell of the matrix, row-column
MEMBERS = "members"  # query: which members of a component are shown
TWIN = "twin"  # query: the run of another seed
MATRIX = "clusters.matrix"
NAMES = "clusters.names"

# Generate
VIEW = "view"  # query: which section is shown
SEED = "seed"  # query
TEMPERATURE = "temperature"  # query
EACH = "each"  # query: samples of each component
PAIRS = "pairs"  # query: reconstructions shown
FIRST, LAST = "from", "to"  # query: observations that are interpolated
STEPS = "steps"  # query: of an interpolation or traversal
COMPONENT = "component"  # query: whose style is traversed
REACH = "reach"  # query: of a style traversal
ANCHOR = "through"  # query: observation that the pad's plane goes through
PLACE = "at"  # query: where the pad's handle is
PAD = "pad."  # + run + observation
FEATURES = "features"  # query: network that FID and Inception score use
SAMPLES = "samples"  # query: how many these are of

# Data
DATA_FROM = "data.from"
DATA_PATH = "data.path"
DATA_UPLOAD = "data.upload"
DATA_KEPT = "data.kept"  # counts files that were kept, after each of which the form is empty
DATA_INCOMING = "data.incoming"  # the file that is being looked into
DATA_OPTION = "data.option."  # + file or data set + option
DATA_ADDED = "data.added"
DATA_UNDO = "data.undo"
DATA_ERROR = "data.error"
DATA_CLUSTERED = "data.clustered"  # the set whose K is being suggested

# Compare
COMPARE_VIEW = "show"  # query: which table or picture
COMPARE_TEXT = "find"  # query, as the next four: filters of the table
COMPARE_MODEL = "models"
COMPARE_DATASET = "datasets"
COMPARE_STATUS = "statuses"
COMPARE_TAG = "tags"
COMPARE_SHELF = "shelf"  # query: active, archived or deleted
COMPARE_RUNS = "chosen"  # query: the runs that are compared
COMPARE_TERMS = "terms"  # query: what is drawn of them
COMPARE_AXIS = "over"  # query: epochs or steps
COMPARE_K = "ks"  # query: numbers of components in the figure of accuracies
COMPARE_S = "ss"  # query: numbers of samples in it
COMPARE_MAPPING = "mapping"  # query
COMPARE_TABLE = "compare.table"
COMPARE_SHOWN = "compare.shown"  # ids in the order of the table's rows
COMPARE_UNDO = "compare.undo"
COMPARE_ERROR = "compare.error"
SWEEP_TEXT = "sweep.text"
SWEEP_FILE = "sweep.file"
SWEEP_JOBS = "sweep.jobs"
SWEEP_TABLE = "sweep.table"
