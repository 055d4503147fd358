//! Ports, dead and alive.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// A port on 127.0.0.1 where nobody listens, and that nobody else gets, as long as the value lives.
pub struct DeadPort {
    socket: Socket,
    addr: SocketAddr,
}

impl DeadPort {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, addr }
    }

    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.addr)
    }

    /// From now on somebody listens.
    pub fn listen(self) -> TcpListener {
        self.listen_with_backlog(16)
    }

    pub fn listen_with_backlog(self, backlog: i32) -> TcpListener {
        self.socket.listen(backlog).unwrap();
        self.socket.into()
    }

    /// Gives the port away, for another socket to bind it.
    pub fn release(self) -> String {
        self.endpoint()
    }
}
