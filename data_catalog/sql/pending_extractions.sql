-- The videos of an experiment whose present content has no outcome yet under this extraction. An outcome whose faces
-- are no longer all there does not count.
WITH stored AS (
    SELECT video_key, video_sha256, count(*) AS faces
    FROM faces
    WHERE extraction = $extraction
    GROUP BY ALL
),
done AS (
    SELECT extraction_log.video_key, extraction_log.video_sha256
    FROM extraction_log
    LEFT JOIN stored USING (video_key, video_sha256)
    WHERE extraction_log.extraction = $extraction
        AND extraction_log.faces_found = coalesce(stored.faces, 0)
)
SELECT DISTINCT roles.video_key, roles.sha256, roles.uri
FROM roles
ANTI JOIN done ON done.video_key = roles.video_key AND done.video_sha256 = roles.sha256
ORDER BY roles.video_key
