-- The videos of an experiment whose present content has no outcome yet under this extraction.
SELECT DISTINCT roles.video_key, roles.sha256, roles.uri
FROM roles
ANTI JOIN (
    SELECT video_key, video_sha256 FROM extraction_log WHERE extraction = $extraction
) AS done
    ON done.video_key = roles.video_key AND done.video_sha256 = roles.sha256
ORDER BY roles.video_key
