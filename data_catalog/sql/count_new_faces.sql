-- Present videos of some datasets whose faces were extracted after a time: how many, with how many faces, up to when.
SELECT count(*) AS videos, coalesce(sum(extraction_log.faces_found), 0)::BIGINT AS faces,
    max(extraction_log.extracted_at) AS last
FROM extraction_log
JOIN (
    SELECT DISTINCT sha256 FROM videos WHERE state = 'present' AND list_contains($datasets, dataset)
) AS present
    ON present.sha256 = extraction_log.video_sha256
WHERE extraction_log.extraction = $extraction
    AND extraction_log.status = 'ok'
    AND extraction_log.extracted_at > $since
