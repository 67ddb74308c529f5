-- How long people are seen in each dataset's present videos, and how many: tracks by the share of sampled frames they
-- have a face in, and videos that could be read by their number of tracks; quantiles and bins as in summarise_faces.
WITH contents AS (
    SELECT DISTINCT videos.dataset, videos.sha256
    FROM videos
    JOIN extraction_log ON extraction_log.video_sha256 = videos.sha256
    WHERE videos.state = 'present'
        AND list_contains($datasets, videos.dataset)
        AND extraction_log.extraction = $extraction
        AND extraction_log.frames_sampled > 0
),
tracks AS (
    SELECT video_sha256, track_id, max(track_share)::DOUBLE AS track_share
    FROM faces
    WHERE extraction = $extraction
    GROUP BY video_sha256, track_id
),
people AS (
    SELECT
        contents.dataset,
        count(tracks.track_id)::DOUBLE AS tracks_per_video
    FROM contents
    LEFT JOIN tracks ON tracks.video_sha256 = contents.sha256
    GROUP BY contents.dataset, contents.sha256
),
videos_by_tracks AS (
    SELECT
        dataset,
        count(*) AS videos,
        map_values(histogram(tracks_per_video, $tracks_per_video_edges)) AS tracks_per_video_counts
    FROM people
    GROUP BY dataset
),
tracks_by_share AS (
    SELECT
        contents.dataset,
        count(*) AS tracks,
        quantile_cont(tracks.track_share, [0.05, 0.5, 0.95]) AS track_share_quantiles,
        map_values(histogram(tracks.track_share, $track_share_edges)) AS track_share_counts
    FROM contents
    JOIN tracks ON tracks.video_sha256 = contents.sha256
    GROUP BY contents.dataset
)
SELECT
    dataset,
    videos_by_tracks.videos,
    coalesce(tracks_by_share.tracks, 0) AS tracks,
    tracks_by_share.track_share_quantiles,
    tracks_by_share.track_share_counts,
    videos_by_tracks.tracks_per_video_counts
FROM videos_by_tracks
LEFT JOIN tracks_by_share USING (dataset)
ORDER BY dataset
