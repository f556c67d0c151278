"""The scripts that Streamlit runs, one for each page."""
