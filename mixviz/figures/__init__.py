"""Pictures of stored things: Plotly specs, PNG grids, still images and animations."""
