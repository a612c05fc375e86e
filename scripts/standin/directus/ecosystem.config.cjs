// The processes that pm2 runs in this image, with the upstream image's settings and their environment variables.
const { env } = process;

module.exports = [
	{
		name: 'directus',
		script: 'cli.js',
		args: ['start'],

		exec_mode: env.PM2_EXEC_MODE ?? 'cluster',
		instances: env.PM2_INSTANCES ?? 1,
		max_memory_restart: env.PM2_MAX_MEMORY_RESTART,

		wait_ready: true,
		listen_timeout: env.PM2_LISTEN_TIMEOUT,
		kill_timeout: env.PM2_KILL_TIMEOUT,
		min_uptime: env.PM2_MIN_UPTIME,
		autorestart: env.PM2_AUTO_RESTART === 'true',
		max_restarts: env.PM2_MAX_RESTARTS,
		restart_delay: env.PM2_RESTART_DELAY ?? 0,
	},
];
