-- How many videos of an experiment ended in which status, and how many faces they gave.
WITH experiment_videos AS (
    SELECT DISTINCT video_key, sha256 FROM roles
)
SELECT
    coalesce(extraction_log.status, 'pending') AS status,
    count(*) AS videos,
    coalesce(sum(extraction_log.faces_found), 0)::BIGINT AS faces
FROM experiment_videos
LEFT JOIN extraction_log
    ON extraction_log.video_sha256 = experiment_videos.sha256
    AND extraction_log.extraction = $extraction
GROUP BY ALL
ORDER BY videos DESC, status
