-- The present videos with an outcome of this extraction that this detector has not scored yet, in the order of their
-- digests. Reads roles(video_key, sha256).
SELECT roles.video_key, roles.sha256, extraction_log.status, extraction_log.reason
FROM roles
JOIN extraction_log ON extraction_log.video_sha256 = roles.sha256 AND extraction_log.extraction = $extraction
ANTI JOIN (
    SELECT video_key, video_sha256 FROM scores WHERE detector = $detector
) AS done
    ON done.video_key = roles.video_key AND done.video_sha256 = roles.sha256
ORDER BY roles.sha256, roles.video_key
