/* Pages that are opened from a folder cannot read each other, so that the search shows titles without excerpts. */
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
