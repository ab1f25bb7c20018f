"""A page of one table and one chart: what Streamlit itself takes."""

import streamlit as st

st.set_page_config(layout="wide")
first = st.selectbox("First", ["Low", "High"])
numbers = list(range(20)) if first == "Low" else list(range(20))[::-1]
axes = {name: {"field": name, "type": "quantitative"} for name in ("x", "y")}
st.dataframe({"number": numbers})
st.vega_lite_chart(
    {
        "data": {"values": [{"x": place, "y": number} for place, number in enumerate(numbers)]},
        "mark": "line",
        "encoding": axes,
    }
)
