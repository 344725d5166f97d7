//! Three other products on the same foundation. Each is complete in its folder: messages, HTTP, shell,
//! decisions and start. The store knows nothing of them.

// neighbours: none of them uses another
pub mod data_servers;
pub mod master_svr;
pub mod redis_sharder;
