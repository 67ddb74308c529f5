-- The faces an experiment works with: main track of the videos whose extraction is ok.
SELECT roles.role, roles.video_key, faces.face_id
FROM roles
JOIN extraction_log
    ON extraction_log.video_key = roles.video_key AND extraction_log.video_sha256 = roles.sha256
JOIN faces
    ON faces.video_key = roles.video_key
    AND faces.video_sha256 = roles.sha256
    AND faces.extraction = extraction_log.extraction
WHERE extraction_log.extraction = $extraction
    AND extraction_log.status = 'ok'
    AND faces.track_id = 0
ORDER BY roles.role, roles.video_key, faces.frame_index
