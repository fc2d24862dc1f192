"""Shortest paths in mazes, compared with a graph library."""

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgar_jax.data import maze


def graph_of(is_open):
    """The graph of the open cells of a maze."""
    graph = networkx.grid_2d_graph(*is_open.shape)
    graph.remove_nodes_from(map(tuple, np.argwhere(~is_open)))
    return graph


def only(shape, cell):
    """A mask of one cell."""
    cells = np.zeros(shape, bool)
    cells[tuple(cell)] = True
    return cells


@st.composite
def open_cells(draw):
    rows, columns = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    cells = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    is_open = np.array(cells).reshape(rows, columns)
    is_open[0, 0] = True
    return is_open


@given(open_cells())
def test_distances_are_those_of_a_graph_library(is_open):
    found = maze.distances(is_open[None], only(is_open.shape, (0, 0))[None])[0]
    expected = networkx.single_source_shortest_path_length(graph_of(is_open), (0, 0))
    for cell in np.ndindex(is_open.shape):
        assert found[cell] == expected.get(cell, -1)


@given(open_cells(), st.data())
def test_cells_on_shortest_paths_are_those_of_all_paths_of_a_graph_library(is_open, data):
    goal = tuple(data.draw(st.sampled_from(np.argwhere(is_open).tolist())))
    shape = is_open.shape
    found = maze.on_shortest_paths(
        is_open[None], only(shape, (0, 0))[None], only(shape, goal)[None]
    )[0]
    graph, expected = graph_of(is_open), set()
    if networkx.has_path(graph, (0, 0), goal):
        expected = set(itertools.chain(*networkx.all_shortest_paths(graph, (0, 0), goal)))
    assert set(map(tuple, np.argwhere(found).tolist())) == expected


@given(open_cells(), st.data())
def test_one_shortest_path_is_connected_and_shortest(is_open, data):
    steps = maze.distances(is_open[None], only(is_open.shape, (0, 0))[None])[0]
    goal = tuple(data.draw(st.sampled_from(np.argwhere(steps >= 0).tolist())))
    path = maze.one_shortest_path(is_open, only(is_open.shape, (0, 0)), only(is_open.shape, goal))
    assert path.sum() == steps[goal] + 1
    assert networkx.has_path(graph_of(path), (0, 0), goal)


def test_a_goal_that_cannot_be_reached_is_an_error():
    is_open = np.array([[True, False, True]])
    with pytest.raises(ValueError, match="cannot be reached"):
        maze.one_shortest_path(is_open, only((1, 3), (0, 0)), only((1, 3), (0, 2)))
