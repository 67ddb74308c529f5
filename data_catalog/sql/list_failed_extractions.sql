-- The videos of an experiment that gave no usable faces, and why.
SELECT DISTINCT roles.video_key, extraction_log.status, extraction_log.reason
FROM roles
JOIN extraction_log ON extraction_log.video_sha256 = roles.sha256
WHERE extraction_log.extraction = $extraction AND extraction_log.status <> 'ok'
ORDER BY roles.video_key
