"""Results of a study that are measured first, where they are not there yet."""

from brainalign import study as studies


def results(study, analysis="behavior", names=None):
    """Run the models of a study, all or some, and read an analysis."""
    for name in names or studies.measured(study):
        studies.run(study, name)
    return studies.results(study, analysis, names)
