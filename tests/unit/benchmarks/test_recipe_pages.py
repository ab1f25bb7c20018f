import json

import pytest

from benchmarks.recipes import main
from tests.support.configured import composed
from verl_spo.launching import recipes

PLANS = json.loads(main.PLANS.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes.names())
def test_a_recipes_page_says_what_the_recipe_does(recipe: str) -> None:
    """After a change: `python -m benchmarks.recipes`."""
    text = main.render(recipe, composed(recipe), PLANS["recipes"].get(recipe), PLANS["date"])
    assert (main.PAGES / f"{recipe}.md").read_text() == text


def test_every_page_is_of_a_recipe() -> None:
    pages = {page.relative_to(main.PAGES).with_suffix("").as_posix() for page in main.PAGES.rglob("*.md")}
    assert pages == set(recipes.names())


def test_every_recipe_for_large_gpus_has_a_plan_that_fits() -> None:
    groups = {recipe for recipe in recipes.names() if recipe.partition("/")[0] in main.MEMORY}
    assert set(PLANS["recipes"]) == groups
    assert all(plan["fits"] for plan in PLANS["recipes"].values())
