"""What the book rests on, as tables: the catalog's own counts, and which data sets a study loads."""

from brainalign import catalog
from brainalign import study as studies
from brainalign.paper.sections import catalog as section


def test_data_sets_are_counted_as_their_publishers_count():
    values = {live.key: live.value for live in section.numbers_of_datasets()}
    assert values["datasets.n"] == len(catalog.datasets()) == len(section.datasets())
    assert values["pereira2018.participants"] == catalog.datasets()["pereira2018"].counts["participants"]
    assert values["tuckute2024.ceiling"] == catalog.datasets()["tuckute2024"].ceilings["all"]
    first, second = catalog.datasets()["pereira2018"].ceilings.values()
    assert values["pereira2018.ceiling"] == (first + second) / 2


def test_what_a_study_loads_is_marked():
    people = section.people(studies.load("sample")).set_index("name")
    assert set(people.kind) == set(section.PEOPLE)
    assert people.loaded["brennan2016"] == people.loaded["tuckute2024"] == "yes"
    assert people.loaded["wehbe2014"] == "no"
    assert set(section.people(studies.load("printed")).loaded) == {"no"}
